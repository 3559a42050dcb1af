"""The live laboratory: a running training that is steered, rewound and branched; the script of a run.

knobs       what can be turned, and what changes from one value to the next
batches     batches whose size and augmentation may change
steered     a run that may be changed between two batches and put back to where it was
snapshots   states kept in memory within a budget, the older ones further apart
branches    up to four of them, and the one that trains
script      a run as one line of JSON; read strictly, replayed bit for bit
steering    what is done, on the one thread that trains
session     a queue that any thread may write to, and that thread
messages    what is sent to the page
chart.js, store.js, face.js, face.css   the page: the chart, what it knows, everything around it
registry    running a cell again closes the laboratory that it made before
widget      `LiveLab`: all of it in a notebook
"""

from tinylab.lab.live.widget import LiveLab

__all__ = ["LiveLab"]
