#compdef @COMMANDS@
# Completions of p2p's commands for zsh. Made by `make completions` from the tables of the commands
# (lib/edge/commands.ts) and completions/parts/: not edited. It reads files of the home and writes, locks and runs
# nothing but ls and awk. What a peer wrote is shown beside the candidates and never becomes one.

# Lines `word TAB description` from the home in reply: KIND [NAME]. The home is as for every command.
_p2p_read() {
  local home='' word name
  local -i i
  for ((i = 2; i < $#p2p_line; i++)); do
    [[ $p2p_line[i] == --home ]] && home=$p2p_line[i+1]
    [[ $p2p_line[i] == --home=* ]] && home=${p2p_line[i]#--home=}
  done
  [[ $p2p_line[-1] == --home=* ]] && home=${p2p_line[-1]#--home=}
  if [[ $home == '~/'* ]]; then
    home=$HOME/${home#'~/'}
  elif [[ $home == (\"|)'$'[A-Za-z_]* ]]; then
    name=${${home#*'$'}%%[^A-Za-z0-9_]*}
    home=${(P)name}${${(Q)home}#'$'$name}
  else
    home=${(Q)home}
  fi
  [[ -n $home ]] || home=$P2P_HOME
  [[ -n $home || $XDG_DATA_HOME != /* ]] || home=$XDG_DATA_HOME/p2p
  [[ -n $home || -z $HOME ]] || home=$HOME/.local/share/p2p
  [[ $home == /* ]] || home=./$home
  reply=()
  [[ $home == ./ ]] && return 1
  reply=(${(f)"$(_p2p_awk $home $1 "$PREFIX" "${(@)argv[2,-1]}" 2>/dev/null </dev/null)"})
}

_p2p_awk() {
  builtin cd -q -- $1 && LC_ALL=C command awk $_p2p_awk "${(@)argv[2,-1]}"
}

# True for an argument that was given before: WORD.
_p2p_given() {
  (($line[(Ie)$1])) && [[ $1 != $words[CURRENT] ]]
}

# NAMEs: KIND. Those given before are left out.
_p2p_names() {
  local -a reply names
  local each
  _p2p_read $1
  for each in $reply; do
    _p2p_given ${each%%$'\t'*} || names+=("${each%%$'\t'*}:${each#*$'\t'}")
  done
  _describe -t contacts contact names
}

# MSGs: KIND. Descriptions go to compadd as they are: no colon, backslash or percent sign in them means anything.
_p2p_messages() {
  local -a reply words told expl given
  local each
  # p2p-send counts @N within the one recipient.
  [[ $service == p2p-send && $1 == received ]] && given=(${line:#-*})
  (($#given == 1)) || given=()
  _p2p_read $1 $given
  for each in $reply; do
    _p2p_given ${each%%$'\t'*} && continue
    words+=("${each%%$'\t'*}")
    told+=("${(r:10:)each%%$'\t'*} ${each#*$'\t'}")
  done
  _wanted -V messages expl message compadd -l -d told -a words
}

_p2p_durations() {
  local -a expl
  _wanted -V durations expl duration compadd 30s 5m 1h 1d 7d
}

_p2p_times() {
  local -a expl
  _wanted -V times expl 'time, or how long ago' compadd 1h 1d 7d
}

#TABLES

# Of the line, without the word under the cursor.
local -a p2p_line=("${(@)words[1,CURRENT-1]}")
local _p2p_awk=@AWK@
local curcontext=$curcontext state state_descr context
local -a line
local -A opt_args
_p2p_service $service
