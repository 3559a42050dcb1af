"""The live laboratory: sliders that steer a running training, rewind and branch, the story of a run.

knobs       what can be turned, and what changes from one value to the next
steered     a run that may be changed between two batches and put back to where it was
snapshots   states kept in memory within a budget, the older ones further apart
branches    up to four futures, and the one that trains
story       a run as one line of JSON; read strictly, replayed bit for bit
session     the controller: a queue that any thread may write to, and one thread that trains
frames      what the training thread hands to the drawing thread
drawer      the thread that draws, at a bounded rate
dials       a slider and its number
registry    running a cell again closes the laboratory that it made before
widget      `LiveLab`: all of it in a notebook
"""

from tinylab.lab.live.widget import LiveLab

__all__ = ["LiveLab"]
