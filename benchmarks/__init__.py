"""Benchmarks: tinylab beside what a user would pick instead, and beside the machine's limits, in one run.

    python -m benchmarks                  the table, and JSON beside it in build/bench/ (`--help` lists the options)
    python -m benchmarks --device cuda    the same on a GPU, and 30 epochs on 200 classes (not yet run)
    python benchmarks/filters.py          all filters of a layer
    python benchmarks/live_lab.py         a slider's answer
    python benchmarks/memory.py           what one student's kernel takes

    machine     the device, the clock, what the hardware and the versions are
    limits      arithmetic and bytes that a training step cannot do without; the peaks of this machine
    material    the images of all rows: JPEG files, the same decoded, the first weights
    rows/       one file for each library, a function for each way to train with it
    pace        a row's own process, one window of steps at a time
    contest     the rows in turn; whether they learned the same
    decoding    archive to cache, beside a bare decoder (bare)
    parts       importing, loading, memory, growth, the course, 30 epochs
    report      tables and JSON

Timings are for a person on a quiet machine; tests check the arithmetic, the protocol and that rows learn the same.
"""
