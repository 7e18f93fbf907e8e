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

# The options of a command that take a value: COMMAND.
function __p2p_valued
    switch $argv[1]
        case p2p
            printf '%s\n' --home
        case p2p-chat
            printf '%s\n' --home
        case p2p-id
            printf '%s\n' --name --port --addr --passphrase-file --passphrase-fd --qr-file --successor-of --old-passphrase-file --old-passphrase-fd --expires --query --words --new-passphrase-file --new-passphrase-fd --output -o --home
        case p2p-inbox
            printf '%s\n' --from --to --type --thread --grep --since --until --after --number -n --output -o --format --home
        case p2p-listen
            printf '%s\n' --exec --home
        case p2p-pipe
            printf '%s\n' --timeout --home
        case p2p-punch
            printf '%s\n' --timeout --stun --home
        case p2p-queue
            printf '%s\n' --wait -w --linger --to --output -o --home
        case p2p-send
            printf '%s\n' --message -m --attach --file -a -f --name --subject -s --reply -r --react --edit --recall --expires --replace --wait -w --home
        case p2p-sendmail
            printf '%s\n' --set -o --errors -e --sender -f -r --full-name -F --body -B --notify -N --return -R --mode -b --home
    end
end

set -g __p2p_awk '
# Reads a home for the completions and prints `word TAB description` lines. Run by awk in the home, in the C locale:
#   awk THIS KIND TYPED [NAME]
# KIND: contact recipient anyone welcome blocked (NAMEs), request (KEYs of strangers), received (the inbox; @N counts within NAME if it is given),
# or states of the queue joined by +. Files are only read; what is damaged is passed over. Words are NAMEs, hexadecimal
# digits and @N; everything a peer wrote is in descriptions, decoded, cut, and without a control or bidi character.
# Behind it comes text.awk. Both stand in single quotes in three shells: no single quote, no two backslashes in a row.
BEGIN {
  kind = ARGV[1]
  typed = ARGV[2]
  LATEST = 30 # messages opened
  WIDTH = 48 # characters of a subject
  LINES = 200 # of a header
  for (i = 1; i < 256; i++) {
    chr[i] = sprintf("%c", i)
    ord[chr[i]] = i
  }
  BAD = chr[239] chr[191] chr[189] # U+FFFD
  DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  HEX = "0123456789abcdef"
  if (kind == "received") received()
  else if (kind ~ /new|hold|failed/) queued()
  else if (kind == "request") requests()
  else contacts()
  exit
}

function contacts(   path, part, n, key, note, list, i) {
  while (("ls contacts 2>/dev/null" | getline path) > 0) {
    n = split(path, part, "[.]")
    if (n == 2 && part[2] == "revoked") revoked[part[1]] = 1
    if (n == 2 && part[2] == "json" && isKey(part[1])) list[++i] = part[1]
  }
  n = i
  if (kind == "recipient" || kind == "anyone") print "me\\tyourself"
  for (i = 1; i <= n; i++) {
    key = list[i]
    contact(key)
    if (nameOf[key] == "") continue
    if (kind == "blocked" && !blocked[key]) continue
    if ((kind == "recipient" || kind == "welcome") && blocked[key]) continue
    if (kind == "recipient" && (key in revoked)) continue
    note = (key in revoked) ? "revoked" : blocked[key] ? "blocked" : verified[key] ? "verified" : "not verified"
    print nameOf[key] "\\t" note
  }
}

function requests(   path) {
  while (("ls requests 2>/dev/null" | getline path) > 0) {
    if (sub(/[.]json$/, "", path) && isKey(path)) print path "\\ta stranger"
  }
}

function received(   id, i, at, to, key, told, words) {
  latest("inbox/new inbox/cur", 32)
  if (ARGC > 3) to = tolower(keyOf(ARGV[3]))
  for (i = 1; i <= kept; i++) {
    open(paths[i])
    id = messageId()
    if (ids[i] != "" && index(id, ids[i]) != 1) id = ids[i]
    key = senderKey()
    told = tell(sender(key))
    if (key != "" && (ARGC < 4 || tolower(key) == to)) {
      at++
      if (typed ~ /^@/ ? at < 10 : at == 1 && typed == "") print "@" (at > 1 ? at : "") "\\t" told
    }
    if (id != "" && typed !~ /^@/) words[i] = short(id) "\\t" told
  }
  for (i = 1; i <= kept; i++) if (i in words) print words[i]
}

function queued(   part, n, i, told, state, folders) {
  n = split(kind, part, "[+]")
  for (i = 1; i <= n; i++) if (part[i] ~ /^(new|hold|failed)$/) folders = folders " queue/*/" part[i]
  latest("/dev/null" folders, 64)
  for (i = 1; i <= kept; i++) {
    split(paths[i], part, "/")
    n = times[i] "." substr(ids[i], 1, 32) ".p2p"
    if (!open("sent/cur/" n ":2,FS") && !open("sent/cur/" n ":2,S")) open(findSent(n))
    contact(part[2])
    told = nameOf[part[2]] == "" ? "somebody" : nameOf[part[2]]
    state = part[3] == "hold" ? " (held)" : part[3] == "failed" ? " (failed)" : ""
    print short(ids[i]) "\\t" tell(told state)
  }
}

# Gathers times, paths and ids of the latest messages in some folders whose id can begin with what was typed. Names
# begin with a time: each folder comes latest first, and the rest of it need not be looked at.
function latest(folders, digits,   command, line, folder, over, base, part, n, start) {
  start = typed ~ /^@/ ? "" : substr(typed, 1, digits)
  command = "ls -1r " folders " 2>/dev/null"
  while ((command | getline line) > 0) {
    if (line ~ /\\/.*:$/) {
      folder = substr(line, 1, length(line) - 1)
      over = 0
    }
    if (over || line !~ /^[0-9]/) continue
    if (start != "" && !index(line, "." start) && (digits == 64 || index(line, ".p2p"))) continue
    base = line
    sub(/:2,.*/, "", base)
    n = split(base, part, "[.]")
    if (part[1] ~ /[^0-9]/) continue
    if (n == (digits == 32 ? 3 : 2) && isHex(part[2], digits)) {
      if (start == "" || index(part[2], start) == 1) over = !keep(folder "/" line, part[1], part[2]) && start == ""
    } else if (digits == 32 && length(part[1]) < 12) keep(folder "/" line, part[1] "000000", "")
  }
  close(command)
}

# Where a mail program left the copy of a message whose flags it has changed.
function findSent(name,   line, folder, base) {
  if (!listed++) {
    while (("ls -1 sent/new sent/cur 2>/dev/null" | getline line) > 0) {
      if (line ~ /^sent.*:$/) folder = substr(line, 1, length(line) - 1)
      base = line
      sub(/:2,.*/, "", base)
      sentAt[base] = folder "/" line
    }
  }
  return (name in sentAt) ? sentAt[name] : ""
}

# Puts a message among the latest; false if it is older than all of them. What is just being moved is seen twice.
function keep(path, time, id,   i) {
  if (kept == LATEST && time + 0 <= times[kept] + 0) return 0
  for (i = 1; i <= kept; i++) if (id != "" && ids[i] == id) return 1
  for (i = kept < LATEST ? ++kept : kept; i > 1 && times[i - 1] + 0 < time + 0; i--) {
    times[i] = times[i - 1]
    paths[i] = paths[i - 1]
    ids[i] = ids[i - 1]
  }
  times[i] = time
  paths[i] = path
  ids[i] = id
  return 1
}

# As much of an id as tells it from the others here, and at least what was typed.
function short(id,   i, alike) {
  for (i = 1; i <= kept; i++) alike += substr(ids[i], 1, 8) == substr(id, 1, 8)
  return alike > 1 || length(typed) > 8 ? id : substr(id, 1, 8)
}

# Reads the header of a message into header[]; false if there is none.
function open(path,   line, n, name, at) {
  split("", header)
  if (path == "") return 0
  while (n < LINES && (getline line < path) > 0) {
    sub(/\\r$/, "", line)
    if (line == "") break
    n++
    if (line ~ /^[ \\t]/) {
      if (name != "") header[name] = substr(header[name] line, 1, 4000)
    } else {
      at = index(line, ":")
      name = tolower(substr(line, 1, at - 1))
      if (name in header) name = ""
      else header[name] = substr(line, at + 1, 4000)
    }
  }
  close(path)
  return n > 0
}

function messageId(   text) {
  text = tolower(header["message-id"])
  sub(/^[ \\t]*</, "", text)
  sub(/@p2p[.]invalid>[ \\t]*$/, "", text)
  return isHex(text, 64) ? text : ""
}

function senderKey(   text) {
  text = header["from"]
  if (!match(text, /<[1-9A-Za-z]+@[Pp]2[Pp][.][Ii][Nn][Vv][Aa][Ll][Ii][Dd]>/)) return ""
  text = substr(text, RSTART + 1, RLENGTH - 14)
  return isKey(text) ? text : ""
}

# A name and the first words of the open message.
function tell(who,   subject) {
  subject = clean(words2047(header["subject"]), WIDTH)
  return subject == "" ? who : who ": " subject
}

# The name given here, else what the header calls it.
function sender(key,   text) {
  if (key != "") contact(key)
  if (key != "" && nameOf[key] != "") return nameOf[key]
  text = header["from"]
  sub(/[ \\t]*<[^<>]*>[ \\t]*$/, "", text)
  sub(/^[ \\t]*"?/, "", text)
  sub(/"$/, "", text)
  return text == "" ? "somebody" : clean(words2047(text), 24)
}

function keyOf(name,   path, key) {
  while (("ls contacts 2>/dev/null" | getline path) > 0) {
    key = path
    if (!sub(/[.]json$/, "", key) || !isKey(key)) continue
    contact(key)
    if (nameOf[key] != "" && tolower(nameOf[key]) == tolower(name)) return key
  }
  return "-"
}

# Reads contacts/KEY.json into nameOf, blocked and verified, once.
function contact(key,   path, line, text) {
  if (key in nameOf) return
  nameOf[key] = ""
  path = "contacts/" key ".json"
  while (length(text) < 20000 && (getline line < path) > 0) text = text line " "
  close(path)
  blocked[key] = text ~ /"blocked"[ \\t\\r]*:[ \\t\\r]*true/
  verified[key] = text ~ /"verified"[ \\t\\r]*:[ \\t\\r]*"/
  if (!match(text, /"name"[ \\t\\r]*:[ \\t\\r]*"[^"]*"/)) return
  text = substr(text, RSTART + 6, RLENGTH - 7)
  sub(/^[^"]*"/, "", text)
  text = unescape(text)
  if (isName(text)) nameOf[key] = text
}

function isName(text,   odd) {
  odd = text
  gsub(/[A-Za-z0-9._+-]/, "", odd)
  return text != "" && odd !~ /[ -~]/ && text !~ /^[._+-]/ && clean(text, 64) == text
}

function isKey(text) {
  return length(text) >= 32 && length(text) <= 44 && text !~ /[^1-9A-Za-z]/
}

function isTime(text) {
  return text ~ /^[0-9]+$/ && length(text) < 18
}

function isHex(text, size) {
  return length(text) == size && text !~ /[^0-9a-f]/
}

# Text that a peer or another program wrote: decoded, and made fit for a terminal. Bytes in the C locale; chr, ord, BAD,
# DIGITS, HEX and WIDTH are those of home.awk.

# The \\uXXXX of JSON; a name has no others.
function unescape(text,   out, at, i, code) {
  while ((at = index(text, chr[92] "u")) > 0) {
    code = 0
    for (i = 2; i < 6; i++) code = code * 16 + index(HEX, tolower(substr(text, at + i, 1))) - 1
    out = out substr(text, 1, at - 1) utf8(code)
    text = substr(text, at + 6)
  }
  return out text
}

function utf8(code) {
  if (code < 128) return code > 0 ? chr[code] : BAD
  if (code < 2048) return chr[192 + int(code / 64)] chr[128 + code % 64]
  return chr[224 + int(code / 4096)] chr[128 + int(code / 64) % 64] chr[128 + code % 64]
}

# Encoded words decoded (RFC 2047); what is in another charset stays as it is.
function words2047(text,   out, before, word, part, last) {
  while (match(text, /=[?][A-Za-z0-9_-]+[?][BbQq][?][^? \\t]*[?]=/)) {
    before = substr(text, 1, RSTART - 1)
    word = substr(text, RSTART, RLENGTH)
    text = substr(text, RSTART + RLENGTH)
    if (!last || before !~ /^[ \\t]*$/) out = out before
    last = 1
    split(word, part, "[?]")
    if (tolower(part[2]) !~ /^(utf-8|us-ascii)$/) out = out word
    else out = out (tolower(part[3]) == "b" ? base64(part[4]) : quoted(part[4]))
    if (length(out) > 4 * WIDTH) break
  }
  return out text
}

function base64(text,   out, i, digit, value, bits, size, byte) {
  for (i = 1; i <= length(text) && i < 400; i++) {
    digit = index(DIGITS, substr(text, i, 1)) - 1
    if (digit < 0) break
    value = value * 64 + digit
    bits += 6
    if (bits < 8) continue
    bits -= 8
    size = bits == 4 ? 16 : bits == 2 ? 4 : 1
    byte = int(value / size)
    value -= byte * size
    out = out (byte > 0 ? chr[byte] : BAD)
  }
  return out
}

function quoted(text,   out, at, code) {
  gsub(/_/, " ", text)
  while (match(text, /=[0-9A-Fa-f][0-9A-Fa-f]/)) {
    code = (index(HEX, tolower(substr(text, RSTART + 1, 1))) - 1) * 16
    code += index(HEX, tolower(substr(text, RSTART + 2, 1))) - 1
    out = out substr(text, 1, RSTART - 1) (code > 0 ? chr[code] : BAD)
    text = substr(text, RSTART + 3)
  }
  return out text
}

# One line of at most so many characters, fit for a terminal: as printable() in lib/base/text.ts, but what must not be
# printed becomes U+FFFD. Bytes that are not UTF-8 too.
function clean(text, most,   out, i, n, size, code, count) {
  gsub(/[ \\t\\r\\n]+/, " ", text)
  sub(/^ /, "", text)
  sub(/ $/, "", text)
  if (text !~ /[^ -~]/) return length(text) > most ? substr(text, 1, most) "..." : text
  n = length(text)
  for (i = 1; i <= n; i += size) {
    if (count++ == most) return out "..."
    code = ord[substr(text, i, 1)]
    size = code < 128 ? 1 : code < 194 ? 0 : code < 224 ? 2 : code < 240 ? 3 : code < 245 ? 4 : 0
    code = size ? point(text, i, size, code) : -1
    if (code < 0) size = 1
    out = out (fits(code) ? substr(text, i, size) : BAD)
  }
  return out
}

# The code point of a character of so many bytes, -1 if it is none.
function point(text, at, size, code,   i, byte) {
  if (size == 1) return code
  code -= size == 2 ? 192 : size == 3 ? 224 : 240
  for (i = 1; i < size; i++) {
    byte = ord[substr(text, at + i, 1)]
    if (byte < 128 || byte > 191) return -1
    code = code * 64 + byte - 128
  }
  return (size == 3 && code < 2048) || (size == 4 && (code < 65536 || code > 1114111)) ? -1 : code
}

function fits(code) {
  if (code < 32 || code > 126 && code < 160 || code >= 55296 && code <= 57343) return 0
  if (code == 1564 || code == 8206 || code == 8207 || code >= 8232 && code <= 8238) return 0
  if (code >= 8294 && code <= 8303 || code == 65279 || code >= 65529 && code <= 65531) return 0
  return code != 65534 && code != 65535 && (code < 917504 || code > 917535)
}
'

complete -c p2p -e
complete -c p2p -f
complete -c p2p -n '__p2p_at p2p "" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p -n '__p2p_at p2p "" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p -n '__p2p_at p2p "" --text' -l text -d 'human lines'
complete -c p2p -n '__p2p_at p2p "" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p -n '__p2p_at p2p "" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p -n '__p2p_at p2p "" --help -h' -l help -s h -d 'show this help'
complete -c p2p -n '__p2p_at p2p "" --version -V' -l version -s V -d 'show the version'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a chat -d 'a conversation on a terminal'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a id -d 'identity and keyring'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a inbox -d 'read what came'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a listen -d 'be reachable: receive messages and deliver waiting ones'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a pipe -d 'a byte stream to a contact and back'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a punch -d 'get through to a contact behind NATs'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a queue -d 'the outgoing queue'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a send -d 'accept a message, deliver it if the peer is up'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a sendmail -d 'send a mail of a mail program to contacts'
complete -c p2p -n '__p2p_argument p2p "" 0 0' -f -a help -d 'the manual of a command'
complete -c p2p -n '__p2p_argument p2p help 0 0' -f -a 'chat id inbox listen pipe punch queue send sendmail'
complete -c p2p -n '__p2p_at p2p chat; or __p2p_at p2p id; or __p2p_at p2p inbox; or __p2p_at p2p listen; or __p2p_at p2p pipe; or __p2p_at p2p punch; or __p2p_at p2p queue; or __p2p_at p2p send; or __p2p_at p2p sendmail' -f -k -a '(__p2p_other)'

complete -c p2p-chat -e
complete -c p2p-chat -f
complete -c p2p-chat -n '__p2p_at p2p-chat "*" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p-chat))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p-chat -n '__p2p_at p2p-chat "*" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p-chat -n '__p2p_at p2p-chat "*" --text' -l text -d 'human lines'
complete -c p2p-chat -n '__p2p_at p2p-chat "*" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p-chat -n '__p2p_at p2p-chat "*" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p-chat -n '__p2p_at p2p-chat "*" --help -h' -l help -s h -d 'show this help'
complete -c p2p-chat -n '__p2p_at p2p-chat "*" --version -V' -l version -s V -d 'show the version'
complete -c p2p-chat -n '__p2p_at p2p-chat "*" --plain' -l plain -d 'line by line, for screen readers and programs (the rule unless on a terminal)'
complete -c p2p-chat -n '__p2p_argument p2p-chat "" 0 0' -f -a '(__p2p_read p2p-chat recipient)'

complete -c p2p-id -e
complete -c p2p-id -f
complete -c p2p-id -n '__p2p_at p2p-id "*" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p-id))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p-id -n '__p2p_at p2p-id "*" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p-id -n '__p2p_at p2p-id "*" --text' -l text -d 'human lines'
complete -c p2p-id -n '__p2p_at p2p-id "*" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p-id -n '__p2p_at p2p-id "*" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p-id -n '__p2p_at p2p-id "*" --help -h' -l help -s h -d 'show this help'
complete -c p2p-id -n '__p2p_at p2p-id "*" --version -V' -l version -s V -d 'show the version'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a init -d 'create the home with a new identity'
complete -c p2p-id -n '__p2p_at p2p-id init --name' -l name -r -f -d 'the name suggested to others (default: the login name)'
complete -c p2p-id -n '__p2p_at p2p-id init --port' -l port -r -f -d 'the port to listen on for good (default: a free one)'
complete -c p2p-id -n '__p2p_at p2p-id init' -l addr -r -f -d 'an address under which peers reach this machine'
complete -c p2p-id -n '__p2p_at p2p-id init --no-passphrase' -l no-passphrase -d 'keep the identity in a plain file'
complete -c p2p-id -n '__p2p_at p2p-id init --passphrase-file' -l passphrase-file -r -F -d 'read the passphrase from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id init --passphrase-fd' -l passphrase-fd -r -f -d 'read the passphrase from file descriptor N'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a token -d 'print the own token, to be handed to contacts; --addr makes a new one'
complete -c p2p-id -n '__p2p_at p2p-id token' -l addr -r -f -d 'an address under which peers reach this machine'
complete -c p2p-id -n '__p2p_at p2p-id token --qr' -l qr -d 'as a QR code on the terminal instead of the line'
complete -c p2p-id -n '__p2p_at p2p-id token --qr-file' -l qr-file -r -F -d 'also as a QR code in FILE, .svg or .png'
complete -c p2p-id -n '__p2p_at p2p-id token --successor-of' -l successor-of -r -f -a '(__fish_complete_directories (__p2p_value p2p-id))' -d 'say in it that this identity takes the place of that of another home'
complete -c p2p-id -n '__p2p_at p2p-id token --passphrase-file' -l passphrase-file -r -F -d 'read the passphrase from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id token --passphrase-fd' -l passphrase-fd -r -f -d 'read the passphrase from file descriptor N'
complete -c p2p-id -n '__p2p_at p2p-id token --old-passphrase-file' -l old-passphrase-file -r -F -d 'read the passphrase of the other home from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id token --old-passphrase-fd' -l old-passphrase-fd -r -f -d 'read the passphrase of the other home from file descriptor N'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a invite -d 'print a token that lets one person in, once, as NAME'
complete -c p2p-id -n '__p2p_at p2p-id invite --expires' -l expires -r -f -k -a '30s 5m 1h 1d 7d' -d 'for so long (default 7d)'
complete -c p2p-id -n '__p2p_at p2p-id invite --qr' -l qr -d 'as a QR code on the terminal instead of the line'
complete -c p2p-id -n '__p2p_at p2p-id invite --qr-file' -l qr-file -r -F -d 'also as a QR code in FILE, .svg or .png'
complete -c p2p-id -n '__p2p_at p2p-id invite --withdraw' -l withdraw -d 'make the invites for NAME void that nobody has used'
complete -c p2p-id -n '__p2p_at p2p-id invite --passphrase-file' -l passphrase-file -r -F -d 'read the passphrase from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id invite --passphrase-fd' -l passphrase-fd -r -f -d 'read the passphrase from file descriptor N'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a add -d 'add or update a contact by the token given or found in standard input'
complete -c p2p-id -n '__p2p_argument p2p-id add 0 0' -f -a '(__p2p_read p2p-id contact)'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a list -d 'list the contacts'
complete -c p2p-id -n '__p2p_at p2p-id list --aliases' -l aliases -d 'as an alias file of mutt and neomutt'
complete -c p2p-id -n '__p2p_at p2p-id list --query' -l query -r -f -d 'those that WORD fits, in the form of mutt\'s query_command'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a show -d 'show a contact, or oneself'
complete -c p2p-id -n '__p2p_argument p2p-id show 0 0' -f -a '(__p2p_read p2p-id anyone)'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a rename -d 'give a contact another name'
complete -c p2p-id -n '__p2p_argument p2p-id rename 0 0' -f -a '(__p2p_read p2p-id contact)'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a remove -d 'forget a contact'
complete -c p2p-id -n '__p2p_at p2p-id remove --drop' -l drop -d 'even if messages are waiting for it: drop them'
complete -c p2p-id -n '__p2p_argument p2p-id remove 0 0' -f -a '(__p2p_read p2p-id contact)'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a block -d 'take nothing from a contact any more'
complete -c p2p-id -n '__p2p_argument p2p-id block 0 0' -f -a '(__p2p_read p2p-id welcome)'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a unblock -d 'undo block'
complete -c p2p-id -n '__p2p_argument p2p-id unblock 0 0' -f -a '(__p2p_read p2p-id blocked)'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a verify -d 'show the 12 words of a contact, or note that they were compared'
complete -c p2p-id -n '__p2p_at p2p-id verify --ok' -l ok -d 'the words are the same on both sides'
complete -c p2p-id -n '__p2p_at p2p-id verify --words' -l words -r -f -d 'compare with these 12 words'
complete -c p2p-id -n '__p2p_argument p2p-id verify 0 0' -f -a '(__p2p_read p2p-id contact)'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a requests -d 'list the strangers who ask to be contacts, and the invites that nobody has used'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a accept -d 'make a contact of a stranger who asks to be one'
complete -c p2p-id -n '__p2p_argument p2p-id accept 0 0' -f -a '(__p2p_read p2p-id request)'
complete -c p2p-id -n '__p2p_argument p2p-id accept 1 1' -f -a '(__p2p_read p2p-id contact)'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a refuse -d 'drop the requests of strangers, and what they ask later'
complete -c p2p-id -n '__p2p_argument p2p-id refuse 0 9999' -f -a '(__p2p_read p2p-id request)'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a rotate -d 'make a new transport key, and print the token that says so'
complete -c p2p-id -n '__p2p_at p2p-id rotate --compromised' -l compromised -d 'the old key may be stolen: delete it at once'
complete -c p2p-id -n '__p2p_at p2p-id rotate --passphrase-file' -l passphrase-file -r -F -d 'read the passphrase from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id rotate --passphrase-fd' -l passphrase-fd -r -f -d 'read the passphrase from file descriptor N'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a revoke -d 'print the token that ends this identity for good at whoever adds it'
complete -c p2p-id -n '__p2p_at p2p-id revoke --passphrase-file' -l passphrase-file -r -F -d 'read the passphrase from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id revoke --passphrase-fd' -l passphrase-fd -r -f -d 'read the passphrase from file descriptor N'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a passwd -d 'change the passphrase of the identity'
complete -c p2p-id -n '__p2p_at p2p-id passwd --no-passphrase' -l no-passphrase -d 'keep the identity in a plain file'
complete -c p2p-id -n '__p2p_at p2p-id passwd --passphrase-file' -l passphrase-file -r -F -d 'read the passphrase from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id passwd --passphrase-fd' -l passphrase-fd -r -f -d 'read the passphrase from file descriptor N'
complete -c p2p-id -n '__p2p_at p2p-id passwd --new-passphrase-file' -l new-passphrase-file -r -F -d 'read the new passphrase from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id passwd --new-passphrase-fd' -l new-passphrase-fd -r -f -d 'read the new passphrase from file descriptor N'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a export -d 'write identity, keys, contacts, configuration and the seen log to an age file'
complete -c p2p-id -n '__p2p_at p2p-id export --output -o' -l output -s o -r -F -d 'into FILE instead of standard output'
complete -c p2p-id -n '__p2p_at p2p-id export --queue' -l queue -d 'the waiting messages too'
complete -c p2p-id -n '__p2p_at p2p-id export --all' -l all -d 'the waiting messages and all mail too'
complete -c p2p-id -n '__p2p_at p2p-id export --move' -l move -d 'retire this home: the identity goes on elsewhere'
complete -c p2p-id -n '__p2p_at p2p-id export --passphrase-file' -l passphrase-file -r -F -d 'read the passphrase from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id export --passphrase-fd' -l passphrase-fd -r -f -d 'read the passphrase from file descriptor N'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a import -d 'make a home of what export wrote (-: standard input)'
complete -c p2p-id -n '__p2p_at p2p-id import --passphrase-file' -l passphrase-file -r -F -d 'read the passphrase from the first line of FILE'
complete -c p2p-id -n '__p2p_at p2p-id import --passphrase-fd' -l passphrase-fd -r -f -d 'read the passphrase from file descriptor N'
complete -c p2p-id -n '__p2p_argument p2p-id import 0 0' -F
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a unretire -d 'undo export --move: this home is in use again'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a doctor -d 'look for what is wrong and say what to do'
complete -c p2p-id -n '__p2p_argument p2p-id "" 0 0' -f -a setup -d 'print what another program needs to work with this home; nothing is written without an option'
complete -c p2p-id -n '__p2p_at p2p-id setup --install' -l install -d 'systemd, launchd, cron: put it in place and start it'
complete -c p2p-id -n '__p2p_at p2p-id setup --remove' -l remove -d 'systemd, launchd, cron: end it and take it away'
complete -c p2p-id -n '__p2p_argument p2p-id setup 0 0' -f -a 'neomutt mutt aerc mblaze notmuch systemd launchd cron bash zsh fish'

complete -c p2p-inbox -e
complete -c p2p-inbox -f
complete -c p2p-inbox -n '__p2p_at p2p-inbox "*" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p-inbox))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p-inbox -n '__p2p_at p2p-inbox "*" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p-inbox -n '__p2p_at p2p-inbox "*" --text' -l text -d 'human lines'
complete -c p2p-inbox -n '__p2p_at p2p-inbox "*" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p-inbox -n '__p2p_at p2p-inbox "*" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p-inbox -n '__p2p_at p2p-inbox "*" --help -h' -l help -s h -d 'show this help'
complete -c p2p-inbox -n '__p2p_at p2p-inbox "*" --version -V' -l version -s V -d 'show the version'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox "" 0 0' -f -a list -d 'list messages, oldest first'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --new' -l new -d 'only those not yet seen'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --from' -l from -r -f -a '(__p2p_read p2p-inbox anyone)' -d 'only those of one contact'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --sent' -l sent -d 'the own messages instead, and how far they have got'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --to' -l to -r -f -a '(__p2p_read p2p-inbox anyone)' -d 'the own messages to one contact'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list' -l type -r -f -a 'text file reaction edit recall receipt notice foreign image/*' -d 'only those of this type, or with a file of this media type'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --thread' -l thread -r -f -k -a '(__p2p_read p2p-inbox received)' -d 'only those of the thread of MSG'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --grep' -l grep -r -f -d 'only those with PATTERN in subject, text or the name of a file'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --since' -l since -r -f -k -a '1h 1d 7d' -d 'only those received since TIME'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --until' -l until -r -f -k -a '1h 1d 7d' -d 'only those received before TIME'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --after' -l after -r -f -a 'start' -d 'only those after CURSOR (\'start\': all)'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --number -n' -l number -s n -r -f -d 'at most the last N'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --follow -f' -l follow -s f -d 'go on with what arrives'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --id' -l id -d 'only the ids'
complete -c p2p-inbox -n '__p2p_at p2p-inbox list --path' -l path -d 'only the paths'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox "" 0 0' -f -a show -d 'show a message'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox show 0 0' -f -k -a '(__p2p_read p2p-inbox received)'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox "" 0 0' -f -a thread -d 'show a message with what it answers and what answers it'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox thread 0 0' -f -k -a '(__p2p_read p2p-inbox received)'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox "" 0 0' -f -a cat -d 'print exactly the bytes of the text'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox cat 0 0' -f -k -a '(__p2p_read p2p-inbox received)'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox "" 0 0' -f -a save -d 'save the files of a message'
complete -c p2p-inbox -n '__p2p_at p2p-inbox save --output -o' -l output -s o -r -f -a '(__fish_complete_directories (__p2p_value p2p-inbox))' -d 'into DIR (default: the current directory)'
complete -c p2p-inbox -n '__p2p_at p2p-inbox save --unpack' -l unpack -d 'unpack archives into new directories, and only inside of them'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox save 0 0' -f -k -a '(__p2p_read p2p-inbox received)'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox "" 0 0' -f -a seen -d 'mark messages as seen'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox seen 0 9999' -f -k -a '(__p2p_read p2p-inbox received)'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox "" 0 0' -f -a delete -d 'delete messages from the inbox'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox delete 0 9999' -f -k -a '(__p2p_read p2p-inbox received)'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox "" 0 0' -f -a export -d 'write what went to and fro with NAME, or all there is, for other programs or for people'
complete -c p2p-inbox -n '__p2p_at p2p-inbox export --format' -l format -r -f -a 'ndjson mbox text' -d 'ndjson, mbox or text (default: text on a terminal, else ndjson)'
complete -c p2p-inbox -n '__p2p_at p2p-inbox export --output -o' -l output -s o -r -F -d 'into FILE, which must not exist, instead of standard output'
complete -c p2p-inbox -n '__p2p_argument p2p-inbox export 0 0' -f -a '(__p2p_read p2p-inbox anyone)'

complete -c p2p-listen -e
complete -c p2p-listen -f
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p-listen))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --text' -l text -d 'human lines'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --help -h' -l help -s h -d 'show this help'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --version -V' -l version -s V -d 'show the version'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --once' -l once -d 'end after the first message'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --exec' -l exec -r -f -a '(complete -C (__p2p_value p2p-listen))' -d 'run COMMAND for each message, its body on standard input, its record on descriptor 3'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --no-text' -l no-text -d 'leave the text out of message records'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --stun' -l stun -d 'tell contacts that ask how they are seen (STUN); --stun=any: everybody'
complete -c p2p-listen -n '__p2p_at p2p-listen "*" --progress' -l progress -d 'records of how far long transfers are'

complete -c p2p-pipe -e
complete -c p2p-pipe -f
complete -c p2p-pipe -n '__p2p_at p2p-pipe "*" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p-pipe))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p-pipe -n '__p2p_at p2p-pipe "*" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p-pipe -n '__p2p_at p2p-pipe "*" --text' -l text -d 'human lines'
complete -c p2p-pipe -n '__p2p_at p2p-pipe "*" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p-pipe -n '__p2p_at p2p-pipe "*" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p-pipe -n '__p2p_at p2p-pipe "*" --help -h' -l help -s h -d 'show this help'
complete -c p2p-pipe -n '__p2p_at p2p-pipe "*" --version -V' -l version -s V -d 'show the version'
complete -c p2p-pipe -n '__p2p_at p2p-pipe "*" --timeout' -l timeout -r -f -k -a '30s 5m 1h 1d 7d' -d 'wait so long for NAME to be there, or to be there again (default: 30s)'
complete -c p2p-pipe -n '__p2p_argument p2p-pipe "" 0 0' -f -a '(__p2p_read p2p-pipe welcome)'

complete -c p2p-punch -e
complete -c p2p-punch -f
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p-punch))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --text' -l text -d 'human lines'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --help -h' -l help -s h -d 'show this help'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --version -V' -l version -s V -d 'show the version'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --timeout' -l timeout -r -f -k -a '30s 5m 1h 1d 7d' -d 'for at most so long (default: 30s; with --slot 20m)'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --explain' -l explain -d 'say what was tried, what came of it, and what would help'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --keep' -l keep -d 'hold the way open until ended'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --status' -l status -d 'instead of all that: how this machine is seen from outside'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --slot' -l slot -d 'meet NAME at a time that both sides compute, if both do this'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --map' -l map -d 'ask the own router for the port, whatever the settings say'
complete -c p2p-punch -n '__p2p_at p2p-punch "*"' -l stun -r -f -d 'ask this STUN server how this machine is seen'
complete -c p2p-punch -n '__p2p_at p2p-punch "*" --birthday' -l birthday -d 'search a router that changes ports for an open one, if both do this'
complete -c p2p-punch -n '__p2p_argument p2p-punch "" 0 0' -f -a '(__p2p_read p2p-punch welcome)'

complete -c p2p-queue -e
complete -c p2p-queue -f
complete -c p2p-queue -n '__p2p_at p2p-queue "*" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p-queue))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p-queue -n '__p2p_at p2p-queue "*" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p-queue -n '__p2p_at p2p-queue "*" --text' -l text -d 'human lines'
complete -c p2p-queue -n '__p2p_at p2p-queue "*" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p-queue -n '__p2p_at p2p-queue "*" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p-queue -n '__p2p_at p2p-queue "*" --help -h' -l help -s h -d 'show this help'
complete -c p2p-queue -n '__p2p_at p2p-queue "*" --version -V' -l version -s V -d 'show the version'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a list -d 'list the waiting and the failed messages'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a show -d 'show a message and what happened to it'
complete -c p2p-queue -n '__p2p_argument p2p-queue show 0 0' -f -k -a '(__p2p_read p2p-queue new+hold+failed)'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a flush -d 'try to deliver now, once'
complete -c p2p-queue -n '__p2p_at p2p-queue flush --wait -w' -l wait -s w -r -f -k -a '30s 5m 1h 1d 7d' -d 'for at most so long'
complete -c p2p-queue -n '__p2p_at p2p-queue flush --linger' -l linger -r -f -k -a '30s 5m 1h 1d 7d' -d 'stay reachable for so long'
complete -c p2p-queue -n '__p2p_at p2p-queue flush --progress' -l progress -d 'records of how far long transfers are'
complete -c p2p-queue -n '__p2p_argument p2p-queue flush 0 9999' -f -a '(__p2p_read p2p-queue contact)'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a hold -d 'keep messages back'
complete -c p2p-queue -n '__p2p_argument p2p-queue hold 0 9999' -f -k -a '(__p2p_read p2p-queue new)'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a release -d 'undo hold'
complete -c p2p-queue -n '__p2p_argument p2p-queue release 0 9999' -f -k -a '(__p2p_read p2p-queue hold)'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a retry -d 'try soon again, also what had failed'
complete -c p2p-queue -n '__p2p_argument p2p-queue retry 0 9999' -f -k -a '(__p2p_read p2p-queue new+failed)'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a drop -d 'delete messages from the queue'
complete -c p2p-queue -n '__p2p_at p2p-queue drop --to' -l to -r -f -a '(__p2p_read p2p-queue contact)' -d 'all that wait for NAME'
complete -c p2p-queue -n '__p2p_argument p2p-queue drop 0 9999' -f -k -a '(__p2p_read p2p-queue new+hold+failed)'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a stat -d 'count by contact and age'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a export -d 'seal what waits for NAME into a bundle, to be carried by hand'
complete -c p2p-queue -n '__p2p_at p2p-queue export --output -o' -l output -s o -r -F -d 'write the bundle into FILE instead of standard output'
complete -c p2p-queue -n '__p2p_argument p2p-queue export 0 0' -f -a '(__p2p_read p2p-queue welcome)'
complete -c p2p-queue -n '__p2p_argument p2p-queue "" 0 0' -f -a import -d 'take in a bundle of a contact, from FILE or standard input'
complete -c p2p-queue -n '__p2p_argument p2p-queue import 0 0' -F

complete -c p2p-send -e
complete -c p2p-send -f
complete -c p2p-send -n '__p2p_at p2p-send "*" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p-send))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p-send -n '__p2p_at p2p-send "*" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p-send -n '__p2p_at p2p-send "*" --text' -l text -d 'human lines'
complete -c p2p-send -n '__p2p_at p2p-send "*" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p-send -n '__p2p_at p2p-send "*" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p-send -n '__p2p_at p2p-send "*" --help -h' -l help -s h -d 'show this help'
complete -c p2p-send -n '__p2p_at p2p-send "*" --version -V' -l version -s V -d 'show the version'
complete -c p2p-send -n '__p2p_at p2p-send "*" --message -m' -l message -s m -r -f -d 'the text, instead of standard input'
complete -c p2p-send -n '__p2p_at p2p-send "*"' -l attach -l file -s a -s f -r -F -d 'send FILE along, or a directory as one archive (-: standard input)'
complete -c p2p-send -n '__p2p_at p2p-send "*" --name' -l name -r -f -d 'the name of a file that comes from standard input'
complete -c p2p-send -n '__p2p_at p2p-send "*" --subject -s' -l subject -s s -r -f -d 'a subject'
complete -c p2p-send -n '__p2p_at p2p-send "*" --reply -r' -l reply -s r -r -f -k -a '(__p2p_read p2p-send received)' -d 'answer this message; without NAME to its sender'
complete -c p2p-send -n '__p2p_at p2p-send "*" --react' -l react -r -f -d 'say only this about the message of --reply; \'\' takes it back'
complete -c p2p-send -n '__p2p_at p2p-send "*" --edit' -l edit -r -f -d 'give an own message another text'
complete -c p2p-send -n '__p2p_at p2p-send "*" --recall' -l recall -r -f -d 'take an own message back'
complete -c p2p-send -n '__p2p_at p2p-send "*" --expires' -l expires -r -f -k -a '30s 5m 1h 1d 7d' -d 'give up after so long (default: never)'
complete -c p2p-send -n '__p2p_at p2p-send "*" --replace' -l replace -r -f -d 'instead of a message of the same TAG that still waits'
complete -c p2p-send -n '__p2p_at p2p-send "*" --dry-run -n' -l dry-run -s n -d 'check everything, queue nothing, tell what would be sent'
complete -c p2p-send -n '__p2p_at p2p-send "*" --skip-empty -E' -l skip-empty -s E -d 'an empty input is no message'
complete -c p2p-send -n '__p2p_at p2p-send "*" --lines -l' -l lines -s l -d 'one message a line of standard input'
complete -c p2p-send -n '__p2p_at p2p-send "*" --ndjson' -l ndjson -d 'one message an NDJSON record of standard input'
complete -c p2p-send -n '__p2p_at p2p-send "*" --queue-only' -l queue-only -d 'do not try to deliver now'
complete -c p2p-send -n '__p2p_at p2p-send "*" --wait -w' -l wait -s w -r -f -k -a '30s 5m 1h 1d 7d' -d 'try for at most so long (default 5s)'
complete -c p2p-send -n '__p2p_at p2p-send "*" --progress' -l progress -d 'records of how far long transfers are'
complete -c p2p-send -n '__p2p_argument p2p-send "" 0 9999' -f -a '(__p2p_read p2p-send recipient)'

complete -c p2p-sendmail -e
complete -c p2p-sendmail -f
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --home' -l home -r -f -a '(__fish_complete_directories (__p2p_value p2p-sendmail))' -d 'the home directory instead of $P2P_HOME'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --json' -l json -d 'records as NDJSON (the rule unless on a terminal)'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --text' -l text -d 'human lines'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --quiet -q' -l quiet -s q -d 'nothing on standard output, only errors that need a person'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --verbose -v' -l verbose -s v -d 'say more on standard error'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --help -h' -l help -s h -d 'show this help'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --version -V' -l version -s V -d 'show the version'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --read-recipients -t' -l read-recipients -s t -d 'to whom To:, Cc: and Bcc: name, or Resent-To: and so on'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --ignore-dots -i' -l ignore-dots -s i -d 'ignored: a line with a dot alone is always text'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --set -o' -l set -s o -r -f -d 'ignored, with whatever stands behind it (-oi, -oem)'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --errors -e' -l errors -s e -r -f -d 'ignored'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --sender -f -r' -l sender -s f -s r -r -f -d 'ignored: a message is from this identity'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --full-name -F' -l full-name -s F -r -f -d 'ignored'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --body -B' -l body -s B -r -f -d 'ignored'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --notify -N' -l notify -s N -r -f -d 'ignored: p2p-queue tells what was delivered'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --return -R' -l return -s R -r -f -d 'ignored'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --mode -b' -l mode -s b -r -f -a 'm' -d 'only m, as in -bm: what it does anyway'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --submission -U' -l submission -s U -d 'ignored'
complete -c p2p-sendmail -n '__p2p_at p2p-sendmail "*" --me-too -m' -l me-too -s m -d 'ignored'
complete -c p2p-sendmail -n '__p2p_argument p2p-sendmail "" 0 9999' -f -a '(__p2p_read p2p-sendmail recipient)'
