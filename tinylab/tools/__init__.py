"""Machinery around the course, imported by no lecture and by no room that teaches.

cli/          the `tinylab` command
notebooks/    the lectures run headlessly, as pages, as slides, as the students' edition
experiments/  many trainings by one command, resumable, with a record of each
"""
