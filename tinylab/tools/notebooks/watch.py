"""Runs inside the kernel of a headless lecture: notes cells that start, and errors that nobody would see.

An exception in a background thread, in a widget callback, under `interact` or in `with Output():` does not
stop a notebook, and what a thread prints after its cell has ended reaches no output at all. So each is written,
as it happens, to the file that the runner reads: one JSON object a line. So is a shell command or a child process of a
cell that failed, a future whose error nobody asked for, and what the lecture ran with, should a cell have changed it.
Does nothing when no file is named.

An error that a cell's own code catches is its own affair, unless it catches whatever comes and does nothing: `except
Exception: pass`, `with suppress(Exception)`. A handler that does anything at all, or names the error that it expects,
cannot be told from one that handles it, and is believed; so is a library's.
"""

import ast
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import weakref
from concurrent.futures import Future
from concurrent.futures import thread as executors
from types import TracebackType
from typing import Any

from tinylab.support.notebook import get_ipython

VARIABLE = "TINYLAB_WATCH"  # the file to write to; set by the runner
ASKED = "TINYLAB_ASKED"  # the parameters as JSON; set by the runner
_STARTERS = {"subprocess", "multiprocessing"}
PATIENCE = 10.0  # seconds that a thread may go on after the last cell

_children: list[tuple[int, Any]] = []  # the cell that started it, a Popen or a multiprocessing.Process
_futures: dict[int, tuple[int, Future[Any], BaseException]] = {}  # whose error nobody has asked for
_tasks: "weakref.WeakSet[asyncio.Task[Any]]" = weakref.WeakSet()
_before: set[threading.Thread] = set()
_cells = 0  # executed so far; counted here because versions of IPython differ on when its own count moves


def start() -> None:
    """Watch this kernel from now on (that of a headless run calls this as it starts)."""
    shell: Any = get_ipython()
    if shell is None or VARIABLE not in os.environ:
        return
    _write(event="kernel", pid=os.getpid())
    shell.events.register("pre_run_cell", _started)
    _watch_callbacks(shell)
    _watch_threads(shell)
    _watch_commands(shell)
    _watch_children()
    _watch_futures()
    _watch_handlers(shell)


def finish() -> None:
    """Wait for threads that the lecture left behind, so that their errors count (the last cell calls this)."""
    if not _before:  # nothing was watched
        return
    pooled = set(executors._threads_queues)  # type: ignore[attr-defined]  # idle workers wait for ever
    left = [thread for thread in threading.enumerate() if thread not in _before | pooled]
    for thread in (thread for thread in left if not thread.daemon or _of_a_cell(thread)):
        thread.join(PATIENCE)
        if thread.is_alive() and not thread.daemon:  # a daemon may go on for ever, but not fail unseen
            message = f"thread {thread.name!r} was still running {PATIENCE:.0f} s after the last cell; join it"
            _write(event="error", where="a background thread", count=None, message=message)
    shell: Any = get_ipython()
    for task in list(_tasks):  # whose failure nobody has asked for; the loop tells of it only when it forgets the task
        if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
            error = task.exception()
            if error is not None:
                _error(shell, "a background task", type(error), error, error.__traceback__)
    for count, child in _children:
        code = child.poll() if isinstance(child, subprocess.Popen) else child.exitcode
        if code:
            name = child.args if isinstance(child, subprocess.Popen) else child.name
            _write(event="error", where="a child process", count=count, message=f"{name!r:.60} ended with code {code}")
    for count, _, lost in _futures.values():
        message = f"{type(lost).__name__}: {lost}"
        _write(event="error", where="a future whose result nobody asked for", count=count, message=message)
    _write_settings()
    _write(event="end")


def _write_settings() -> None:
    """What the lecture ran with in the end, if that is not what the runner asked for."""
    names: dict[str, Any] = getattr(get_ipython(), "user_ns", {})
    asked = json.loads(os.environ.get(ASKED) or "{}")
    now = {name: names[name] for name in asked if name in names}
    made = [vars(one) for one in names.values() if type(one).__name__ == "Settings" and set(asked) <= set(dir(one))]
    for ran in [now, *({name: one[name] for name in asked} for one in made)]:
        if any(ran[name] != asked[name] for name in ran):
            _write(event="ran", settings={name: str(value) for name, value in ran.items()}, asked=asked)
            return


def _started(info: Any) -> None:
    global _cells
    if not getattr(info, "store_history", True):  # a cell within a cell: `%%capture`
        return
    if not _cells:  # only now the kernel has all its threads, and its loop runs
        _before.update(threading.enumerate())
        _watch_tasks(get_ipython())
    _cells += 1
    _write(event="cell", count=_cells)


def _watch_threads(shell: Any) -> None:
    original = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            _error(shell, "a background thread", args.exc_type, args.exc_value, args.exc_traceback)
        original(args)

    threading.excepthook = hook


def _watch_callbacks(shell: Any) -> None:
    """Widget callbacks, `interact` and `Output` all end in the shell's `showtraceback`, and so do cells."""
    original = shell.showtraceback

    def show(exc_tuple: Any = None, *args: Any, **kwargs: Any) -> Any:
        kind, value, trace = exc_tuple or sys.exc_info()
        if kind is not None:
            _error(shell, "a widget callback", kind, value, trace)
        return original(exc_tuple, *args, **kwargs)

    shell.showtraceback = show


def _watch_tasks(shell: Any) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a kernel that runs cells outside its loop
        return

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None:
            _error(shell, "a background task", type(error), error, error.__traceback__)
        loop.default_exception_handler(context)

    def started(loop: asyncio.AbstractEventLoop, work: Any, **names: Any) -> "asyncio.Task[Any]":
        task = asyncio.Task(work, loop=loop, **names)
        _tasks.add(task)
        return task

    loop.set_exception_handler(handle)
    loop.set_task_factory(started)


def _watch_commands(shell: Any) -> None:
    original = shell.system

    def system(command: str) -> Any:
        done = original(command)
        code = shell.user_ns.get("_exit_code")
        if code:
            _write(event="error", where="a shell command", count=_cells, message=f"`{command}` ended with code {code}")
        return done

    shell.system = system


def _watch_children() -> None:
    """Remember the processes that a cell itself starts; those of a library are its own affair."""
    from multiprocessing.process import BaseProcess

    begin, start_process = subprocess.Popen.__init__, BaseProcess.start

    def started(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if _called_by_a_cell():
            _children.append((_cells, self))

    def start(self: Any) -> None:
        start_process(self)
        if _called_by_a_cell():
            _children.append((_cells, self))

    subprocess.Popen.__init__ = started  # type: ignore[method-assign]
    BaseProcess.start = start  # type: ignore[method-assign]


def _called_by_a_cell() -> bool:
    """Whether the first frame outside the modules that start processes is a cell's."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _STARTERS:
        frame = frame.f_back
    return bool(frame.f_globals.get("__name__") == "__main__")


def _of_a_cell(thread: threading.Thread) -> bool:
    """Whether a thread runs a function that a cell defines."""
    work = getattr(thread, "_target", None) or type(thread).run
    return getattr(work, "__module__", "") == "__main__"


def _watch_futures() -> None:
    """An error that is put into a future is seen when somebody asks for the result, or never."""
    put, result, exception = Future.set_exception, Future.result, Future.exception

    def set_exception(self: Any, error: BaseException | None) -> None:
        if error is not None and not self._done_callbacks:  # whoever waits for it by a callback sees it
            _futures[id(self)] = (_cells, self, error)
        put(self, error)

    def asked(original: Any) -> Any:
        def ask(self: Any, timeout: float | None = None) -> Any:
            try:
                return original(self, timeout)
            finally:
                _futures.pop(id(self), None)

        return ask

    Future.set_exception = set_exception  # type: ignore[method-assign, assignment]
    Future.result, Future.exception = asked(result), asked(exception)  # type: ignore[method-assign]


def _watch_handlers(shell: Any) -> None:
    """Note the errors that a cell catches only to forget them."""
    leave = contextlib.suppress.__exit__

    def left(self: Any, kind: Any, value: Any, trace: Any) -> bool:
        hidden = leave(self, kind, value, trace)
        broad = any(one in (Exception, BaseException) for one in self._exceptions)
        if hidden and broad and sys._getframe(1).f_globals.get("__name__") == "__main__":
            _error(shell, "a `suppress`", kind, value, trace)
        return bool(hidden)

    contextlib.suppress.__exit__ = left  # type: ignore[method-assign, assignment]
    shell.ast_transformers.append(_Told())


class _Told(ast.NodeTransformer):
    """Lets every handler of a cell that catches whatever comes, and does nothing, tell what it has caught."""

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.generic_visit(node)
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)
        idle = (ast.Pass, ast.Continue, ast.Break)
        if broad and all(isinstance(one, idle) or _constant(one) for one in node.body):
            call = ast.parse(f"__import__({__name__!r}, fromlist=['swallowed']).swallowed()").body[0]
            for part in ast.walk(call):
                ast.copy_location(part, node)
            node.body.insert(0, call)
        return node


def _constant(statement: ast.stmt) -> bool:
    """Whether a statement is `...`, a text, or returns no more than a constant."""
    value = statement.value if isinstance(statement, ast.Expr | ast.Return) else statement
    return value is None or isinstance(value, ast.Constant)


def swallowed() -> None:
    """What a handler that does nothing has caught (a cell of a headless run calls this)."""
    kind, value, trace = sys.exc_info()
    if kind is not None:
        _error(get_ipython(), "a handler that does nothing", kind, value, trace)


def _error(
    shell: Any,
    where: str,
    kind: type[BaseException],
    value: BaseException | None,
    trace: TracebackType | None,
) -> None:
    """Note one error, with the number of the cell whose code raised it (the innermost frame of a cell)."""
    count = _cells
    while trace is not None:
        name = shell.compile.format_code_name(trace.tb_frame.f_code.co_filename)  # ("Cell", "In[3]") or None
        number = re.search(r"\d+", name[1]) if name else None
        count = min(int(number.group()), _cells) if number else count  # a cell within a cell counts as the next one
        trace = trace.tb_next
    _write(event="error", where=where, count=count, message=f"{kind.__name__}: {value}")


def _write(**fact: Any) -> None:
    with open(os.environ[VARIABLE], "a", encoding="utf-8") as file:
        file.write(json.dumps(fact) + "\n")
