"""The explorer: a page in the browser on which a question is moved and its answers follow.

In: files, names of shipped instances, or the address of such a page. Out: a page on this machine
alone, whose numbers are those of the library's own verbs, in processes that keep warm.
"""

from hbmopt.explorer.serving import Told, explore

__all__ = ["Told", "explore"]
