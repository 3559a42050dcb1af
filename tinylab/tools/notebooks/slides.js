// Makes every slide fit, then hands the deck to reveal.js. Sizes are those of a canvas of 1920 × 1080 pixels, which
// reveal.js scales to the screen as a whole: what fits here fits on any projector.
"use strict";

const SIZES = [1, 0.93, 0.86, 0.8]; // of the text, tried in this order
const ZOOMS = [2.1, 1.9, 1.7]; // of the pictures, beside code and text: a smaller one gets a slide of its own
const ALONE = [...ZOOMS, 1.55, 1.4]; // below 1.4 its labels could not be read from the last row
const LAST_SIZES = [1, 0.9, 0.8, 0.7]; // for one piece that is too large for a slide of its own
const LAST_ZOOMS = [...ALONE, 1.25, 1.1, 1, 0.9, 0.8];
const MOST_LINES = 15; // of code; slides.py cuts what is longer
const SIDEWAYS = "pre, table, .output_html, math, h1, h2, h3, p";

const pieces = (slide) => [...slide.querySelectorAll(".text_cell, .input, .output_area")];

const lines = (slide) => [...slide.querySelectorAll(".input pre")].filter((part) => part.clientWidth > 0)
  .reduce((sum, part) => sum + part.textContent.trimEnd().split("\n").length, 0);

// Whether nothing of the slide is cut off, and no picture smaller than `zoom` times its size in the notebook.
function fits(slide, zoom) {
  if (slide.scrollHeight > slide.clientHeight + 1 || lines(slide) > MOST_LINES) return false;
  const shown = (part) => part.clientWidth > 0;
  const cut = [...slide.querySelectorAll(SIDEWAYS)].filter(shown).some((part) => part.scrollWidth > part.clientWidth + 1);
  const small = [...slide.querySelectorAll("img")].filter(shown).some((image) => image.clientWidth < zoom * image.width0 - 1);
  return !cut && !small;
}

// Largest text first; at each size code above its output, then beside it. True if something fitted.
function set(slide, sizes, zooms) {
  for (const size of sizes) {
    for (const beside of [false, true]) {
      for (const zoom of slide.querySelector("img") ? zooms : [1]) {
        slide.style.setProperty("--size", size);
        slide.style.setProperty("--zoom", zoom);
        slide.classList.toggle("beside", beside);
        if (fits(slide, zoom)) return true;
      }
    }
  }
  return false;
}

// A slide that is too full goes on at the next one: as many pieces as fit stay, and the rest is fitted in turn. What a
// cell puts out stays with its code where both fit on a slide of their own: then the code goes on, too.
function fit(slide) {
  const all = pieces(slide);
  if (set(slide, SIZES, all.length > 1 ? ZOOMS : ALONE)) return;
  const only = (from, to) => all.forEach((piece, place) => (piece.style.display = place < from || place >= to ? "none" : ""));
  let kept = all.length;
  do only(0, --kept); while (kept > 0 && !set(slide, SIZES, ZOOMS));
  const cell = (place) => all[place]?.closest(".code_cell");
  const starts = all.findIndex((_, place) => cell(place) && cell(place) === cell(kept));
  if (starts > 0 && starts < kept) {
    only(starts, all.findLastIndex((_, place) => cell(place) === cell(kept)) + 1);
    if (set(slide, SIZES, ZOOMS)) kept = starts;
  }
  only(0, all.length);
  if (kept === 0) kept = 1; // one piece, alone too large
  if (kept < all.length) {
    const rest = document.createRange();
    rest.setStartBefore(all[kept]);
    rest.setEndAfter(slide.lastChild);
    const next = document.createElement("section");
    next.append(rest.extractContents());
    const shells = [...slide.querySelectorAll(".fragment, .code_cell")]; // what they held has gone on: a key for nothing
    shells.filter((shell) => !pieces(shell).length).forEach((shell) => shell.remove());
    next.querySelector(":scope > .fragment:first-child")?.classList.remove("fragment"); // shown with its slide
    slide.after(next);
    fit(slide);
    fit(next);
  } else if (!set(slide, LAST_SIZES, LAST_ZOOMS)) {
    slide.classList.add("scrolls"); // with the arrow keys, see below
    slide.tabIndex = 0;
  }
}

function theme(name) {
  document.documentElement.dataset.theme = name;
}

function scrollOr(direction, otherwise) {
  const slide = Reveal.getCurrentSlide();
  const before = slide.scrollTop;
  slide.scrollBy({ top: direction * 0.6 * slide.clientHeight, behavior: "instant" });
  if (slide.scrollTop === before) otherwise();
}

// A slide that has no heading of its own says at its upper edge what it belongs to.
function head(slides) {
  let last = "";
  for (const slide of slides) {
    const own = slide.querySelector("h1, h2, h3");
    if (!own) slide.insertAdjacentHTML("afterbegin", `<p class="head">${last}</p>`);
    last = [...slide.querySelectorAll("h1, h2, h3")].pop()?.innerHTML ?? last;
  }
}

// The notes of this slide, in a window of their own that the audience does not see: its row of the lecture's plan, and
// what its cells say; with the first slide the whole plan.
let speaker = null;
function notes() {
  if (!speaker || speaker.closed) return;
  const slides = Reveal.getSlides(), here = Reveal.getSlidePastCount(), plan = document.getElementById("plan");
  const name = (slide) => slide?.querySelector("h1, h2, h3, .head")?.textContent ?? "the end";
  const [head, ...rows] = plan.content.querySelectorAll("tr"), before = slides.slice(0, here + 1).reverse();
  const begun = (slide) => rows.find((row) => row.cells[1]?.textContent === name(slide)); // a row's second column
  const row = before.map(begun).find(Boolean);
  speaker.document.body.innerHTML = `<h1>${here + 1} of ${slides.length}: ${name(slides[here])}</h1>` +
    (here && row ? `<table>${head.outerHTML}${row.outerHTML}</table>` : "") + (Reveal.getSlideNotes() ?? "") +
    `${here ? "" : plan.innerHTML}<p class="next">Next: ${name(slides[here + 1])}</p>`;
}

function openNotes() {
  speaker = open("", "notes", "popup,width=900,height=700");
  if (!speaker) return;
  speaker.document.title = `Notes: ${document.title}`;
  speaker.document.head.innerHTML += "<style>body { font: 22px/1.45 system-ui, sans-serif; margin: 1.5rem; } h1 { font-size: 1.2em; } " +
    "td, th { padding: 0.25em 0.8em 0.25em 0; text-align: left; vertical-align: top; } .next { color: #666; }</style>";
  speaker.onkeydown = (event) => { // it has the keyboard now: the slides go on
    if (["ArrowRight", "PageDown", " "].includes(event.key)) Reveal.next();
    else if (["ArrowLeft", "PageUp"].includes(event.key)) Reveal.prev();
  };
  notes();
}

const printed = /[?&](print-pdf|view=print)/.test(location.search);
theme(!printed && matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

addEventListener("load", async () => {
  // pictures are in the file, but decoded later: their sizes are needed now
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  for (const image of document.images) {
    image.width0 = Number(image.getAttribute("width")) || image.naturalWidth;
    image.style.setProperty("--width", `${image.width0}px`);
  }
  document.querySelectorAll(".slides section:not(:has(section))").forEach(fit);
  head(document.querySelectorAll(".slides section:not(:has(section))"));
  await Reveal.initialize({
    width: 1920, height: 1080, margin: 0, minScale: 0.05, maxScale: 4, center: false,
    hash: true, slideNumber: "c/t", navigationMode: "linear", transition: "none", backgroundTransition: "none",
    pdfSeparateFragments: false, pdfMaxPagesPerSlide: 1, scrollActivationWidth: null,
    keyboard: {
      38: () => scrollOr(-1, Reveal.prev),
      40: () => scrollOr(1, Reveal.next),
      83: openNotes,
      84: () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
    },
  });
  Reveal.on("slidechanged", notes);
  document.body.dataset.ready = "yes";
});
