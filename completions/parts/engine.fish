# Completions of p2p's commands for fish. Made by `make completions` from the tables of the commands
# (lib/edge/commands.ts) and completions/parts/: not edited. It reads files of the home and writes, locks and runs
# nothing but sh, ls and awk. What a peer wrote is shown beside the candidates and never becomes one.

# What stands before the word under the cursor, if that is new: COMMAND. Words that are no options, options used, home.
function __p2p_scan
    set -l tokens (commandline -opc)
    set -l now "$argv[1] "(string join \n -- $tokens | string collect)
    test "$now" = "$__p2p_seen"; and return
    set -g __p2p_seen $now
    set -g __p2p_words
    set -g __p2p_used
    set -g __p2p_home
    set -l valued (__p2p_valued $argv[1])
    set -l wanted
    set -l ended
    set -e tokens[1]
    for token in $tokens
        if set -q wanted[1]
            test $wanted = --home; and set __p2p_home $token
            set wanted
        else if set -q ended[1]; or not string match -qr -- '^-.' $token
            set -a __p2p_words $token
        else if test $token = --
            set ended yes
        else if string match -q -- '--*' $token
            set -l parts (string split -m 1 = -- $token)
            set -a __p2p_used $parts[1]
            if set -q parts[2]
                test $parts[1] = --home; and set __p2p_home $parts[2]
            else if contains -- $parts[1] $valued
                set wanted $parts[1]
            end
        else
            __p2p_cluster $token $valued >/dev/null; and set wanted $token
        end
    end
    # An option whose value is being completed is not used yet.
    set -q wanted[1]; and set -e __p2p_used[-1]
    return 0
end

# Notes the options of a cluster such as -qr; prints the value that may stand behind, true if it is the next word.
function __p2p_cluster
    set -l rest (string sub -s 2 -- $argv[1])
    while test -n "$rest"
        set -l letter (string sub -l 1 -- $rest)
        set rest (string sub -s 2 -- $rest)
        set -a __p2p_used -$letter
        contains -- -$letter $argv[2..-1]; or continue
        printf '%s\n' $rest
        test -z "$rest"
        return
    end
    return 1
end

# True where options of COMMAND VERB stand ('' before there is one, * any) and none of these was used: [SPELLING...]
function __p2p_at
    __p2p_scan $argv[1]
    test "$argv[2]" = '*'; or test "$__p2p_words[1]" = "$argv[2]"; or return
    for spelling in $argv[3..-1]
        contains -- $spelling $__p2p_used; and return 1
    end
    return 0
end

# True where an argument of COMMAND VERB stands that has at least FROM and at most TO others before it.
function __p2p_argument
    __p2p_scan $argv[1]
    set -l given (count $__p2p_words)
    if test -n "$argv[2]"
        test "$__p2p_words[1]" = $argv[2]; or return
        set given (math $given - 1)
    end
    test $given -ge $argv[3] -a $given -le $argv[4]
end

# What is typed of a value, behind --option= or -o too: COMMAND.
function __p2p_value
    set -l typed (commandline -ct | string trim -c '\'"')
    if string match -q -- '--*=*' $typed
        printf '%s\n' (string split -m 1 = -- $typed)[2]
    else if string match -qr -- '^-[^-]' $typed
        set -l used $__p2p_used
        __p2p_cluster $typed (__p2p_valued $argv[1])
        set __p2p_used $used
    else
        printf '%s\n' $typed
    end
end

# Lines `word TAB description` from the home: COMMAND KIND. Those given before are left out.
function __p2p_read
    __p2p_scan $argv[1]
    set -l typed (__p2p_value $argv[1])
    set -l name
    if test "$argv[1..2]" = 'p2p-send received' -a (count $__p2p_words) = 1
        set name $__p2p_words # @N counts within the one recipient
    end
    set -l home $__p2p_home
    if string match -q '~/*' -- $home
        set home $HOME/(string sub -s 3 -- $home)
    else if set -l parts (string match -r '^\$([A-Za-z_][A-Za-z0-9_]*)(.*)$' -- $home)
        set home "$$parts[2]$parts[3]"
    end
    if test -z "$home"
        if test -n "$P2P_HOME"
            set home $P2P_HOME
        else if string match -q '/*' -- $XDG_DATA_HOME
            set home $XDG_DATA_HOME/p2p
        else if test -n "$HOME"
            set home $HOME/.local/share/p2p
        else
            return
        end
    end
    string match -q '/*' -- $home; or set home ./$home
    set -l script 'cd -- "$1" && shift && LC_ALL=C exec awk "$@"'
    for line in (sh -c $script sh $home $__p2p_awk $argv[2] "$typed" $name 2>/dev/null </dev/null)
        contains -- (string split -m 1 \t -- $line)[1] $__p2p_words; or printf '%s\n' $line
    end
end

# `p2p send ...` is completed as `p2p-send ...`.
function __p2p_other
    set -l tokens (commandline -opc)
    set -l at (contains -i -- $__p2p_words[1] $tokens)
    set -l command p2p-$__p2p_words[1]
    set -e tokens[$at]
    set -e tokens[1]
    set -l now (commandline -ct | string collect)
    complete -C (string join ' ' -- $command (string escape -- $tokens) "$now" | string collect)
end

#TABLES
