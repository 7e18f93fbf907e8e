# Completions of p2p's commands for bash 4.4 or newer, with or without the package bash-completion.
# Made by `make completions` from the tables of the commands (lib/edge/commands.ts) and completions/parts/: not edited.
# It reads files of the home and writes, locks and runs nothing but ls and awk. What a peer wrote is shown in lists of
# several candidates and never becomes part of the command line.
# shellcheck shell=bash

#TABLES

# The words of the line before the cursor, without their quotes, in p2p_words; nothing is run for it. The last one is
# what is completed. What stands behind < and > is no argument.
_p2p_split() {
  local line=$1 word='' quoted='' char name redirect='' i
  p2p_words=() p2p_redirect=''
  [[ $line == *[![:blank:]]* ]] || return
  for ((i = 0; i < ${#line}; i++)); do
    char=${line:i:1}
    if [[ $quoted == "'" || ($quoted == '"' && $char != [\"\\\$]) ]]; then
      if [[ $char == "$quoted" ]]; then quoted=''; else word+=$char; fi
      continue
    fi
    case $char in
      \\) i=$((i + 1)) word+=${line:i:1} ;;
      \" | \') if [[ $quoted ]]; then quoted=''; else quoted=$char; fi ;;
      \$)
        name=${line:i+1}
        name=${name%%[!A-Za-z0-9_]*}
        if [[ $name == [A-Za-z_]* ]]; then word+=${!name-} i=$((i + ${#name})); else word+=$char; fi
        ;;
      '~') if [[ ! $word && ${line:i+1:1} == / ]]; then word=$HOME; else word+=$char; fi ;;
      '<' | '>') redirect=yes word='' ;;
      ' ' | $'\t')
        [[ ${line:i-1:1} != [[:blank:]\<\>] ]] || continue
        [[ $redirect ]] || p2p_words+=("$word")
        redirect='' word=''
        ;;
      *) word+=$char ;;
    esac
  done
  p2p_redirect=$redirect
  p2p_words+=("$word")
}

# The option of the list behind that is spelled so: `--attach/-a=file`, with a + in front if it may be repeated.
_p2p_find() {
  local spelled=$1 each names
  shift
  for each; do
    names=${each%%=*}
    [[ /${names#+}/ != *"/$spelled/"* ]] || { p2p_found=$each && return; }
  done
  return 1
}

# Lines `word TAB description` from the home: KIND TYPED [NAME].
_p2p_read() {
  local home=${p2p_home:-${P2P_HOME-}}
  [[ $home || ${XDG_DATA_HOME-} != /* ]] || home=$XDG_DATA_HOME/p2p
  [[ $home ]] || home=${HOME:+$HOME/.local/share/p2p}
  [[ $home ]] || return
  [[ $home == /* ]] || home=./$home
  (builtin cd -- "$home" && LC_ALL=C exec awk "$_p2p_awk" "$@") 2>/dev/null </dev/null
}

# Adds candidates that begin with what was typed, behind the PREFIX that a value may have, less what readline keeps.
_p2p_reply() {
  local prefix=$1 typed=$2 each
  shift 2
  for each; do
    each=$prefix$each
    [[ $each != "$prefix$typed"* ]] || COMPREPLY+=("${each#"$p2p_kept"}")
  done
}

# Parts of a text in p2p_parts: SEPARATOR TEXT.
_p2p_cut() {
  local rest=$2$1
  p2p_parts=()
  while [[ $rest ]]; do
    p2p_parts+=("${rest%%"$1"*}")
    rest=${rest#*"$1"}
  done
}

# Tells readline; not heard outside of a completion.
_p2p_tell() {
  compopt "$@" 2>/dev/null || :
}

# What is offered for an argument or a value: OFFER PREFIX TYPED.
_p2p_offer() {
  local offer=$1 prefix=$2 typed=$3 word told
  local -a words=() lines=() name
  case $offer in
    '') ;;
    :*)
      _p2p_cut '|' "${offer#:}"
      _p2p_reply "$prefix" "$typed" "${p2p_parts[@]}"
      ;;
    duration) _p2p_reply "$prefix" "$typed" 30s 5m 1h 1d 7d ;;
    time) _p2p_reply "$prefix" "$typed" 1h 1d 7d ;;
    command)
      mapfile -t words < <(compgen -c -- "$typed")
      _p2p_reply "$prefix" "$typed" "${words[@]}"
      ;;
    file | directory)
      # readline does it best, tilde and blanks included, if it looks at the value alone.
      if [[ $p2p_kept == "$prefix"* && $offer == file ]]; then
        _p2p_tell -o default
      elif [[ $p2p_kept == "$prefix"* ]]; then
        _p2p_tell -o dirnames
      else
        mapfile -t words < <(compgen "-${offer:0:1}" -- "$typed")
        _p2p_tell -o filenames
        _p2p_reply "$prefix" "$typed" "${words[@]}"
      fi
      ;;
    received | *new* | hold)
      name=()
      # p2p-send counts @N within the one recipient.
      [[ $offer != received || $p2p_command != p2p-send || ${#p2p_given[@]} != 1 ]] || name=("${p2p_given[@]}")
      while IFS=$'\t' read -r word told; do
        [[ $word != "$typed"* || " ${p2p_given[*]} " == *" $word "* ]] || words+=("$word") lines+=("$word"$'\t'"$told")
      done < <(_p2p_read "$offer" "$typed" "${name[@]}")
      _p2p_tell -o nosort
      # Only where readline lists and inserts at most what all have in common.
      if ((${#words[@]} > 1)) && [[ ${COMP_TYPE-} == @(33|63|64) ]]; then
        for told in "${lines[@]}"; do
          printf -v told '%-10s %s' "${told%%$'\t'*}" "${told#*$'\t'}"
          told=$prefix$told
          COMPREPLY+=("${told#"$p2p_kept"}")
        done
      else
        _p2p_reply "$prefix" "$typed" "${words[@]}"
      fi
      ;;
    *)
      while IFS=$'\t' read -r word told; do
        [[ " ${p2p_given[*]} " == *" $word "* ]] || words+=("$word")
      done < <(_p2p_read "$offer" "$typed")
      _p2p_reply "$prefix" "$typed" "${words[@]}"
      ;;
  esac
}

# What stands before the last word: command, verb, arguments given, options used, and what an option still wants.
_p2p_scan() {
  local word ended='' letters
  p2p_command=${p2p_words[0]##*/} p2p_verb='' p2p_home='' p2p_used=' ' p2p_given=() p2p_wanted='' p2p_ended=''
  _p2p_table "$p2p_command" ''
  local -i i
  for ((i = 1; i < ${#p2p_words[@]} - 1; i++)); do
    word=${p2p_words[i]}
    if [[ $p2p_wanted ]]; then
      [[ $p2p_wanted != --home=* ]] || p2p_home=$word
      p2p_wanted=''
    elif [[ $ended || $word != -?* ]]; then
      if [[ $p2p_command == p2p && ! $p2p_verb && " ${p2p_commands[*]} " == *" p2p-$word "* ]]; then
        p2p_command=p2p-$word
        _p2p_table "$p2p_command" ''
      elif [[ ! $p2p_verb && ${#p2p_verbs[@]} -gt 0 ]]; then
        p2p_verb=$word
        _p2p_table "$p2p_command" "$p2p_verb"
      else
        p2p_given+=("$word")
      fi
    elif [[ $word == -- ]]; then
      ended=yes
    elif [[ $word == --* ]]; then
      _p2p_find "${word%%=*}" "${p2p_all[@]}" || continue
      p2p_used+="${p2p_found%%[/=]*} "
      if [[ $p2p_found == *=* && $word != *=* ]]; then p2p_wanted=$p2p_found; fi
      [[ $word != --home=* ]] || p2p_home=${word#*=}
    else
      for ((letters = 1; letters < ${#word}; letters++)); do
        _p2p_find "-${word:letters:1}" "${p2p_all[@]}" || break
        p2p_used+="${p2p_found%%[/=]*} "
        [[ $p2p_found == *=* ]] || continue
        if ((letters == ${#word} - 1)); then p2p_wanted=$p2p_found; fi
        break
      done
    fi
  done
  p2p_ended=$ended
}

# Options of the verb; one that was used is not offered again unless it may be repeated.
_p2p_dashes() {
  local typed=$1 each name letters
  if [[ $typed == --*=* ]]; then
    if _p2p_find "${typed%%=*}" "${p2p_options[@]}" && [[ $p2p_found == *=* ]]; then
      _p2p_offer "${p2p_found#*=}" "${typed%%=*}=" "${typed#*=}"
    fi
  elif [[ $typed == -[!-]* ]]; then
    for ((letters = 1; letters < ${#typed}; letters++)); do
      _p2p_find "-${typed:letters:1}" "${p2p_options[@]}" || return
      if [[ $p2p_found == *=* && letters -lt $((${#typed} - 1)) ]]; then
        _p2p_offer "${p2p_found#*=}" "${typed:0:letters+1}" "${typed:letters+1}"
        return
      fi
    done
    _p2p_reply '' "$typed" "$typed"
  else
    for each in "${p2p_options[@]}"; do
      [[ $each == +* || $p2p_used != *" ${each%%[/=]*} "* ]] || continue
      name=${each%%=*}
      _p2p_cut / "${name#+}"
      for name in "${p2p_parts[@]}"; do
        [[ $name != --* ]] || _p2p_reply '' "$typed" "$name"
      done
    done
  fi
}

_p2p() {
  local IFS=$' \t\n' p2p_command p2p_verb p2p_home p2p_used p2p_wanted p2p_ended p2p_found p2p_redirect p2p_kept=''
  local -a p2p_words p2p_parts p2p_given p2p_all p2p_verbs p2p_options p2p_arguments
  local line=${COMP_LINE-} typed at
  COMPREPLY=()
  if [[ $line ]]; then line=${line:0:COMP_POINT}; else line="${COMP_WORDS[*]:0:COMP_CWORD+1}"; fi
  _p2p_split "$line"
  ((${#p2p_words[@]} > 1)) || return 0
  typed=${p2p_words[-1]}
  # readline keeps what stands before the last break, such as the `--reply=` of `--reply=3f`.
  at=${2-$typed}
  at=${at//\\/}
  if [[ $typed == *"$at" ]]; then p2p_kept=${typed%"$at"}; fi
  _p2p_scan
  if [[ $p2p_redirect ]]; then
    _p2p_tell -o default
  elif [[ $p2p_wanted ]]; then
    _p2p_offer "${p2p_wanted#*=}" '' "$typed"
  elif [[ $typed == -* && ! $p2p_ended ]]; then
    _p2p_dashes "$typed"
  elif [[ ! $p2p_verb && ${#p2p_verbs[@]} -gt 0 ]]; then
    _p2p_reply '' "$typed" "${p2p_verbs[@]}"
  else
    at=${#p2p_given[@]}
    if ((at >= ${#p2p_arguments[@]} && ${#p2p_arguments[@]} > 0)) && [[ ${p2p_arguments[-1]} == *... ]]; then
      at=$((${#p2p_arguments[@]} - 1))
    fi
    typed=${p2p_arguments[at]-}
    _p2p_offer "${typed%...}" '' "${p2p_words[-1]}"
  fi
  return 0
}

complete -F _p2p "${p2p_commands[@]}"
