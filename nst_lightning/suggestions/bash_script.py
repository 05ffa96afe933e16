"""The completion script of bash, which zsh reads as well."""

from collections.abc import Iterable, Mapping, Sequence

from nst_lightning.suggestions.option_table import SHELLS, Option

# The functions are the same in bash and in zsh. They read the whole line: bash divides its words at `:` and `=`.
_FUNCTIONS = r"""
_nst_lightning() {
  local line=${COMP_LINE:0:$COMP_POINT} command= option= word= prefix= candidates= character= part=
  case $line in
    (*" -m nst_lightning "*) line=${line#*" -m nst_lightning "} ;;
    (*) line=${line#*[[:space:]]} ;;
  esac
  COMPREPLY=()
  while [[ $line == [[:space:]]* ]]; do line=${line#?}; done
  word=${line##*[[:space:]]}
  command=${line%%[[:space:]]*}
  if [[ $line != *[[:space:]]* ]]; then
    candidates=$_nst_lightning_commands
  elif [[ $word == --*=* ]]; then
    prefix=${word%%=*}=
    candidates=$(_nst_lightning_values "$command" "${word%%=*}")
  else
    line=${line%"$word"}
    while [[ $line == *[[:space:]] ]]; do line=${line%?}; done
    option=${line##*[[:space:]]}
    if [[ $word == -* ]]; then
      candidates=$(_nst_lightning_options "$command")
    else
      candidates=$(_nst_lightning_values "$command" "$option")
    fi
  fi
  while IFS= read -r part; do
    [[ -n $part && "$prefix$part" == "$word"* ]] && COMPREPLY+=("$prefix$part")
  done <<< "${candidates// /
}"
  # Bash completes the part of a word after the last of these characters.
  prefix=
  for character in : =; do
    if [[ ${COMP_WORDBREAKS-} == *"$character"* && $word == *"$character"* ]]; then
      part=${word%"${word##*"$character"}"}
      (( ${#part} > ${#prefix} )) && prefix=$part
    fi
  done
  COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
  [[ -n ${COMPREPLY[*]} ]] || COMPREPLY=()
}
"""

_BASH = r"""
_nst_lightning_python() {
  if [[ $COMP_LINE == *" -m nst_lightning "* ]]; then
    _nst_lightning
  elif declare -F _python >/dev/null; then
    _python "$@"
  else
    COMPREPLY=()
  fi
}
complete -o default -F _nst_lightning nst_lightning
complete -o default -F _nst_lightning_python python python3
"""

_ZSH = r"""
_nst_lightning_python() {
  if [[ "${words[*]}" == *" -m nst_lightning "* ]]; then
    _bash_complete -o default -F _nst_lightning
  else
    _python "$@"
  fi
}
complete -o default -F _nst_lightning nst_lightning
compdef _nst_lightning_python python python3
"""


def format_bash(table: Mapping[str, Sequence[Option]]) -> str:
    """Returns the script for bash.

    Args:
        table: the options of each command.
    """
    return f"# Completion of nst_lightning in bash.\n{_format_functions(table)}{_BASH}"


def format_zsh(table: Mapping[str, Sequence[Option]]) -> str:
    """Returns the script for zsh.

    Args:
        table: the options of each command.
    """
    start = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"
    return f"# Completion of nst_lightning in zsh.\n{start}{_format_functions(table)}{_ZSH}"


def _format_functions(table: Mapping[str, Sequence[Option]]) -> str:
    names = "".join(
        f"    ({name}) echo '{_join(option.name for option in known)}' ;;\n" for name, known in table.items()
    )
    values = "".join(
        f"    ('{name} {option.name}') echo '{_join(option.values)}' ;;\n"
        for name, known in table.items()
        for option in known
        if option.values
    )
    return f"""
_nst_lightning_commands='{_join(table)}'

_nst_lightning_options() {{
  case $1 in
{names}  esac
}}

_nst_lightning_values() {{
  case "$1 $2" in
    ('completion completion') echo '{_join(SHELLS)}' ;;
{values}  esac
  # Recipes of the working folder have names too.
  if [[ $2 == --config || $2 == --recipe ]]; then
    (cd configs 2>/dev/null && for file in *.yaml; do [[ -f $file ]] && echo "${{file%.yaml}}"; done)
  fi
}}
{_FUNCTIONS}"""


def _join(words: Iterable[str]) -> str:
    return " ".join(words)
