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
  if (kind == "recipient" || kind == "anyone") print "me\tyourself"
  for (i = 1; i <= n; i++) {
    key = list[i]
    contact(key)
    if (nameOf[key] == "") continue
    if (kind == "blocked" && !blocked[key]) continue
    if ((kind == "recipient" || kind == "welcome") && blocked[key]) continue
    if (kind == "recipient" && (key in revoked)) continue
    note = (key in revoked) ? "revoked" : blocked[key] ? "blocked" : verified[key] ? "verified" : "not verified"
    print nameOf[key] "\t" note
  }
}

function requests(   path) {
  while (("ls requests 2>/dev/null" | getline path) > 0) {
    if (sub(/[.]json$/, "", path) && isKey(path)) print path "\ta stranger"
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
      if (typed ~ /^@/ ? at < 10 : at == 1 && typed == "") print "@" (at > 1 ? at : "") "\t" told
    }
    if (id != "" && typed !~ /^@/) words[i] = short(id) "\t" told
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
    print short(ids[i]) "\t" tell(told state)
  }
}

# Gathers times, paths and ids of the latest messages in some folders whose id can begin with what was typed. Names
# begin with a time: each folder comes latest first, and the rest of it need not be looked at.
function latest(folders, digits,   command, line, folder, over, base, part, n, start) {
  start = typed ~ /^@/ ? "" : substr(typed, 1, digits)
  command = "ls -1r " folders " 2>/dev/null"
  while ((command | getline line) > 0) {
    if (line ~ /\/.*:$/) {
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
    sub(/\r$/, "", line)
    if (line == "") break
    n++
    if (line ~ /^[ \t]/) {
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
  sub(/^[ \t]*</, "", text)
  sub(/@p2p[.]invalid>[ \t]*$/, "", text)
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
  sub(/[ \t]*<[^<>]*>[ \t]*$/, "", text)
  sub(/^[ \t]*"?/, "", text)
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
  blocked[key] = text ~ /"blocked"[ \t\r]*:[ \t\r]*true/
  verified[key] = text ~ /"verified"[ \t\r]*:[ \t\r]*"/
  if (!match(text, /"name"[ \t\r]*:[ \t\r]*"[^"]*"/)) return
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
