"""Shells: the script that each of them sources, and how it asks what completes a line.

The protocol and the search are click's. Three things are mended here: a value that goes on, such as
``limits.`` or ``rack=``, is followed by no space; what is typed before it in the same word stays
(``--set=rack=gb``); and bash, which takes ``=`` and ``:`` for ends of words, is given what
follows them.
"""

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from hbmopt.cli.completing import ASKS

BREAKS = frozenset("=:")
"""What bash takes for words of their own."""

BASH = r"""%(complete_func)s() {
    local IFS=$'\n' response type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    while IFS=',' read -r type value; do
        if [[ $type == file ]]; then
            compopt -o default
        elif [[ $type == dir ]]; then
            compopt -o dirnames
        elif [[ $type == plain ]]; then
            [[ $value == *[=./,:] ]] && compopt -o nospace
            # A name with a space is quoted, unless the word is already.
            if [[ $value == *[[:space:]\'\"\\\$\&\;\(\)\<\>\|\`\*\?]* &&
                ${COMP_WORDS[COMP_CWORD]} != [\'\"]* ]]; then
                printf -v value %%q "$value"
            fi
            COMPREPLY+=("$value")
        fi
    done <<< "$response"
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

ZSH = r"""#compdef %(prog_name)s

%(complete_func)s() {
    local -a whole described begun response
    local type key descr
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    for type key descr in ${response}; do
        if [[ $type == file ]]; then
            _path_files -f
        elif [[ $type == dir ]]; then
            _path_files -/
        elif [[ $type == plain && $key == *[=./,:] ]]; then
            begun+=("$key")
        elif [[ $type == plain && $descr == _ ]]; then
            whole+=("$key")
        elif [[ $type == plain ]]; then
            described+=("$key":"$descr")
        fi
    done
    [[ -n $described ]] && _describe -V unsorted described -U
    [[ -n $begun ]] && compadd -U -S '' -V unsorted -a begun
    [[ -n $whole ]] && compadd -U -V unsorted -a whole
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef %(complete_func)s %(prog_name)s
fi
"""

FISH = r"""function %(complete_func)s
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \
        COMP_CWORD=(commandline -ct) %(prog_name)s 2>/dev/null)
    for completion in $response
        set -l metadata (string split --max 1 "," -- $completion)
        if test $metadata[1] = file
            __fish_complete_path $metadata[2]
        else if test $metadata[1] = dir
            __fish_complete_directories $metadata[2]
        else if test $metadata[1] = plain
            echo $metadata[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Whole(ShellComplete):
    """Completes whole words: an option that stands before its value stays."""

    def get_completions(self, args: list[str], incomplete: str) -> "list[CompletionItem[str]]":
        """Return what completes a word; the words before it are there to look at (`obj`)."""
        self.ctx_args = {**self.ctx_args, "obj": tuple(args)}
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("--"):
            return [_behind(f"{option}=", one) for one in found]
        return found


def _behind(before: str, item: "CompletionItem[str]") -> "CompletionItem[str]":
    return CompletionItem(f"{before}{item.value}", item.type, item.help)


class Bash(_Whole, BashComplete):
    """Bash, which has words like ``rack=gb`` in three parts."""

    source_template = BASH
    _cut: int = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that one."""
        before, incomplete = super().get_completion_args()
        parts = [*before, incomplete] if incomplete else before
        words, apart = list[str](), True
        for part in parts:
            broken = BREAKS.issuperset(part)
            if words and (broken or not apart):
                self._cut = len(words[-1]) + (len(part) if broken else 0)
                words[-1] += part
            else:
                words.append(part)
                self._cut = 0
            apart = not broken
        if incomplete:
            return words[:-1], words[-1]
        self._cut = 0
        return words, ""

    def format_completion(self, item: "CompletionItem[str]") -> str:
        """Return a value as bash takes it: what stands before the last break is there already."""
        value = item.value[self._cut :] if item.type == "plain" else item.value
        return f"{item.type},{value}"


class Zsh(_Whole, ZshComplete):
    """Zsh."""

    source_template = ZSH


class Fish(_Whole, FishComplete):
    """Fish."""

    source_template = FISH


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}
"""Shells that are completed in, by name."""

PROGRAM = "hbmopt"
"""The program that is completed."""


def know_shells() -> None:
    """Have click answer these shells."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)


def script(shell: str, program: click.Command) -> str:
    """Return what a shell sources."""
    return SHELLS[shell](program, {}, PROGRAM, ASKS).source()
