// The index page's search: every section of every lecture, by the words in it. Nothing is fetched.
const sections = JSON.parse(document.getElementById("sections").textContent);
const form = document.querySelector(".search");
const found = document.getElementById("found");
form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
form.querySelector("input").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = words.length
    ? sections.filter(({ title, text }) => words.every((word) => `${title} ${text}`.toLowerCase().includes(word)))
    : [];
  found.replaceChildren(...hits.slice(0, 30).map(({ href, title, text }) => {
    const item = document.createElement("li");
    const link = Object.assign(document.createElement("a"), { href, textContent: title });
    const at = Math.max(text.toLowerCase().indexOf(words[0]) - 50, 0);
    item.append(link, Object.assign(document.createElement("p"), { textContent: `…${text.slice(at, at + 140)}…` }));
    return item;
  }));
  form.querySelector("output").textContent =
    words.length ? `${hits.length} section${hits.length === 1 ? "" : "s"}` : "";
});
