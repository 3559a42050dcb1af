"""Lectures executed without anyone watching, and an honest account of what happened.

watch        runs inside the kernel: notes the cells that start and the errors that nobody sees
inspection   before: are the parameters there? after: what went wrong, and in which cell?
runner       one papermill process per notebook, several at once
pages        a readable page per lecture, and the index
stored       what a notebook in the repository may contain; writing outputs back
student      the edition without solutions
slides       a deck per lecture that opens without a network
"""
