"""What every room needs: units, words, files, and how public functions are called."""

from hbmopt.basics.calling import verb
from hbmopt.basics.csv_text import csv_text, write_csv
from hbmopt.basics.files import check_different, check_not_read, check_writable, write, writing
from hbmopt.basics.layout import aligned, wrapped
from hbmopt.basics.lazy_sequence import Chosen, Combinations, Computed, Joined, LazySequence, Places
from hbmopt.basics.plain_text import Plain, one_line, visible, visible_in, visible_json
from hbmopt.basics.processes import begin_worker, interrupts_held
from hbmopt.basics.progress import Parts, Progress, Remaining, Told, duration, tells_nobody
from hbmopt.basics.rounding import round_step
from hbmopt.basics.text_file import MILLION, exists, is_file, read_text
from hbmopt.basics.wording import (
    BAND_DIGITS,
    INPUT_NAMES,
    SCOPES,
    STEP_NAMES,
    brief,
    counted,
    elasticity_text,
    input_name,
    made,
    range_text,
    rounded,
    show,
    shown,
    signed,
)

__all__ = [
    "BAND_DIGITS",
    "INPUT_NAMES",
    "MILLION",
    "SCOPES",
    "STEP_NAMES",
    "Chosen",
    "Combinations",
    "Computed",
    "Joined",
    "LazySequence",
    "Parts",
    "Places",
    "Plain",
    "Progress",
    "Remaining",
    "Told",
    "aligned",
    "begin_worker",
    "brief",
    "check_different",
    "check_not_read",
    "check_writable",
    "counted",
    "csv_text",
    "duration",
    "elasticity_text",
    "exists",
    "input_name",
    "interrupts_held",
    "is_file",
    "made",
    "one_line",
    "range_text",
    "read_text",
    "round_step",
    "rounded",
    "show",
    "shown",
    "signed",
    "tells_nobody",
    "verb",
    "visible",
    "visible_in",
    "visible_json",
    "wrapped",
    "write",
    "write_csv",
    "writing",
]
