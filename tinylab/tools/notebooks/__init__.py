"""Lectures executed without anyone watching, and an honest account of what happened.

watch        runs inside the kernel: notes the cells that start and the errors that nobody sees
kernels      a kernel of its own for each notebook: this Python, with a share of the cores
inspection   before: are the parameters there? after: what went wrong, and in which cell?
runner       one kernel per notebook, several at once, and the truth about each
progress     what a run shows while it goes
formulas     LaTeX as MathML, for pages without a network
pages        a readable page per lecture, and the index
stored       what a notebook in the repository may contain
slides       a deck per lecture that opens without a network
book         all lectures in one PDF
assignments  the exercises of a lecture: which cells, how many points, by whom
student      the edition without solutions, its update, and the lecturer's copy
bridge       answers across the border between a grader and a submission's kernel
sandbox      a submission's kernel, in which its answers are asked for
grade        points, feedback pages, and what broke where
"""
