# make all completions test bench bench-quick silence packets flood fuzz natmatrix screens crash soak resume lint demo install uninstall deb nodes clean
#
#   make demo                        two identities in a temporary place exchange a message
#   make test T='token queue'        only the test files whose names contain these words
#   make test NODE=/opt/node/bin/node    with another node than the first in $PATH
#   make bench T='ndjson flush'      only these figures; all of them take a quarter of an hour and 13 GiB in $TMPDIR
#   make bench-quick                 less of each, in less than three minutes
#   make silence                     what strangers learn, with thousands of callers; some minutes
#   make natmatrix PAIRS='cone:*' CONDITIONS=- ROUNDS=3 JOBS=4    who gets through which NATs; all of it takes an hour
#   make flood                       10,000 connections, 20,000 hellos a second; some minutes
#   make packets                     where packets go, in a network namespace; as root, some minutes
#   make fuzz T='token tar' INPUTS=1000000 SEED=7    parsers of foreign bytes; HEX=... tries one input again
#   make soak KILLS=1000 MESSAGES=10000    two people write while their processes are killed
#   make resume BYTES=4G CUTS=100    one large file over a link that breaks; both with KEEP=DIR MINUTES=5 in shares
#   make resume BYTES=5G CUTS=3 ONLY='sender receiver'    the same while its processes are killed, and what they tell
#   make screens                     what p2p-chat shows in a play of two people, anew: text and pictures
#   make crash                       the commands die at every system call: an hour or two; what was done is kept in dist/
#   make crash MINUTES=30 T=big      an even share of it, only of scenes with big messages; the same call goes on with it
#   make install PREFIX=$HOME/.local
#   make deb                         a package for dpkg from the same files
#   make nodes                       the tests on the newer lines of node

PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib/p2p
DATADIR = $(PREFIX)/share/p2p
DOCDIR = $(PREFIX)/share/doc/p2p-messenger
MANDIR = $(PREFIX)/share/man
UNITDIR = $(PREFIX)/share/systemd/user
BASHCOMPDIR = $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR = $(PREFIX)/share/zsh/site-functions
FISHCOMPDIR = $(PREFIX)/share/fish/vendor_completions.d

# A word for the shell, whatever is in it.
q = '$(subst ','\'',$(1))'

# The node that builds, tests and is written into what is installed: an absolute path that works where nothing is set,
# as under cron. Of a version manager's shim, or a link that ends with the session, what it stands for.
NODE = node
ifeq ($(origin NODE),command line)
export PATH := $(shell node=$$(command -v -- $(call q,$(NODE))) && cd "$$(dirname -- "$$node")" && pwd):$(PATH)
endif
override NODE := $(shell node=$$(command -v -- $(call q,$(NODE))) || exit 0; \
    case $$node in (/*) ;; (*) node=$$PWD/$$node ;; esac; \
    case $$node in (/run/* | */fnm_multishells/*) false ;; esac && env -i "$$node" -e 0 2>/dev/null || \
    node=$$("$$node" -p process.execPath 2>/dev/null); printf %s "$$node")

VERSION := $(shell sed -n 's/^  "version": "\(.*\)",*/\1/p' package.json)
COMMANDS := $(patsubst bin/%.ts,%,$(wildcard bin/*.ts))
BUNDLES := $(COMMANDS:%=dist/%.cjs)
PAGES := $(wildcard man/*.[1-8])
SCHEMAS := $(wildcard man/*.schema.json)
SOURCES := $(wildcard lib/*/*.ts)
EXAMPLES := $(wildcard examples/*)
SCRIPTS := $(wildcard test/*.sh test/natlab/*.sh completions/*.bash) $(filter-out %.py,$(EXAMPLES)) .ci/run
MODULES = node_modules/.package-lock.json
UDX = dist/udx-native

all: $(BUNDLES) $(PACKAGE_FILES) $(UDX)/package.json dist/THIRD-PARTY

# Anything needs a new enough node; the check itself runs on the oldest.
node:
	@test -n $(call q,$(NODE)) || { echo 'p2p needs Node.js 20.19 or newer: no node in $$PATH' >&2; exit 1; }
	@$(call q,$(NODE)) -e 'var v = process.versions.node.split("."); if (v[0] < 20 || (v[0] == 20 && v[1] < 19)) { console.error("p2p needs Node.js 20.19 or newer: " + process.execPath + " is " + process.version); process.exit(1) }'

$(MODULES): package-lock.json | node
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# What starts, and the program: readable, two files a command or three, so that starting is 100 ms faster than from the sources.
$(BUNDLES): dist/%.cjs: .ci/start.cjs dist/code/%.cjs
	@install -m 755 $< $@
	@echo '  $@'

ESBUILD = node_modules/.bin/esbuild --bundle --platform=node --format=cjs --target=node20 --log-level=warning
$(COMMANDS:%=dist/code/%.cjs): dist/code/%.cjs: bin/%.ts $(SOURCES) .ci/bundle.ts .ci/nomarkdown.cjs package.json Makefile $(MODULES) | node
	@$(call q,$(NODE)) --import tsx .ci/bundle.ts $* $(VERSION) $(PACKAGES)

# Packages that only some calls need lie beside the programs, once for all of them: FILE=PACKAGE.
PACKAGES = noble-curves=@noble/curves/ed25519.js noble-ciphers=@noble/ciphers/chacha.js \
    noble-hmac=@noble/hashes/hmac.js age=age-encryption words=@scure/bip39/wordlists/english.js tar=modern-tar \
    mime=postal-mime lockfile=proper-lockfile toml=smol-toml emoji=gemoji qr=uqr
short = $(firstword $(subst =, ,$(1)))
whole = $(lastword $(subst =, ,$(1)))
PACKAGE_FILES = $(foreach each,$(PACKAGES),dist/code/$(call short,$(each)).cjs)

# As import() finds them where they are not bundled: what is exported as default is there under that name. graceful-fs,
# which only proper-lockfile wants, helps where there are too few descriptors; it takes longer to load than the rest.
$(PACKAGE_FILES): dist/code/%.cjs: package-lock.json Makefile $(MODULES) | node
	@echo 'const all = require("$(call whole,$(filter $*=%,$(PACKAGES)))"); module.exports = Object.assign(all.default ?? {}, all)' | \
	    $(ESBUILD) --alias:graceful-fs=node:fs --metafile=dist/$*.meta.json --outfile=$@
	@echo '  $@'

# What V8 makes of each program while it runs, for the next start of it: of use to this node only.
cache: all
	@$(call q,$(NODE)) --import tsx .ci/cache.ts

# The carrier for UDP has machine code and is optional: npm fetches it beside the package, make install and make deb put
# this copy beside the programs, for the machines of this system. Without it (npm ci --omit=optional) the folder holds
# nothing, and the programs do without UDP.
$(UDX)/package.json: .ci/addon.cjs Makefile $(MODULES) | node
	@rm -rf $(UDX); mkdir -p $(UDX); from=node_modules/udx-native; [ -d $$from ] || exit 0; \
	node_modules/.bin/esbuild $$from/lib/udx.js --bundle --platform=node --format=cjs --target=node20 --log-level=warning \
	    --alias:require-addon=./.ci/addon.cjs --metafile=dist/udx-native.meta.json --outfile=$(UDX)/index.js; \
	for code in $$from/prebuilds/"$$(uname -s | tr A-Z a-z)"-*/udx-native.node; do \
	    machine=$${code%/*}; \
	    install -m 644 "$$code" "$(UDX)/$${machine##*/}.node"; \
	done; \
	{ grep -E '^  "(name|version|license)"' $$from/package.json; echo '  "main": "index.js"'; } | \
	    { echo '{'; cat; echo '}'; } >$@; \
	echo '  $(UDX)'

# Who wrote what the bundles contain, with their licences.
dist/THIRD-PARTY: $(BUNDLES) $(PACKAGE_FILES) $(UDX)/package.json .ci/third-party.ts
	@$(call q,$(NODE)) --import tsx .ci/third-party.ts $(patsubst dist/code/%.cjs,dist/%.meta.json,$(PACKAGE_FILES)) $(COMMANDS:%=dist/%.meta.json) \
	    $$([ ! -e $(UDX)/package.json ] || echo dist/udx-native.meta.json) >$@
	@echo '  $@'

test: all
	@$(call q,$(NODE)) --import tsx test/run.ts $(T)

# Speed is told, never asserted: it fails only if something could not be run.
bench bench-quick: cache
	@$(call q,$(NODE)) --import tsx test/bench/run.ts $(if $(filter bench-quick,$@),--quick) $(T)

# The long form of a test: more callers of each kind than make test has time for, and all probes of a scanner.
silence: all
	@SILENCE=full $(call q,$(NODE)) --import tsx test/uniform.test.ts

flood: all
	@FLOOD=full $(call q,$(NODE)) --import tsx test/flood.test.ts

packets: all
	@PACKETS=full $(call q,$(NODE)) --import tsx test/packets.test.ts

# Lives in bad weather, one from each seed: SEED=123 replays one, SEEDS=100000 runs so many, FROM=1 on.
export SEEDS FROM
model:
	@$(call q,$(NODE)) --import tsx test/model/seeds.ts

# As root, with the programs that .ci/run installs. Goes on where an interrupted one stopped; test/natlab/matrix.ts.
export PAIRS CONDITIONS ROUNDS JOBS
natmatrix: all
	@$(call q,$(NODE)) --import tsx test/natlab/matrix.ts

# README's table, from what was noted last by what proves something, with RECORD=1.
export RECORD
.PHONY: reliability
reliability:
	@$(call q,$(NODE)) --import tsx test/reliability.ts

# What takes minutes: make test has a sample of it. Variables: test/soak/run.ts.
export MESSAGES KILLS BYTES CUTS ONLY SEED KEEP MINUTES INPUTS HEX
soak resume: all
	@$(call q,$(NODE)) --import tsx test/soak/run.ts $@

# Goes on where an interrupted one stopped, for as long as the commands stay the same.
crash: cache
	@$(call q,$(NODE)) --import tsx test/crash/run.ts $(if $(MINUTES),--minutes $(MINUTES)) $(T)

# Each parser in a thread of its own, led by which code ran; make test has some thousand inputs of it.
fuzz: $(MODULES)
	@$(call q,$(NODE)) --import tsx test/fuzz/run.ts $(T)

demo: all
	@NODE=$(call q,$(NODE)) bash test/demo.sh

# What p2p-chat shows in the play of test/chatscreen: kept as text, drawn as pictures, both checked in.
screens: all
	@SCREENS=keep $(call q,$(NODE)) --import tsx test/chatscreen.test.ts

# Checked in; a test tells when the tables of the commands have moved on.
completions: $(MODULES)
	$(call q,$(NODE)) --import tsx completions/make.ts

# Programs that are not on every machine are passed over with a line, except where CI=true.
lint: $(MODULES)
	node_modules/.bin/tsc --noEmit -p .
	node_modules/.bin/oxlint --type-aware --deny-warnings bin lib test completions .ci
	for script in $(SCRIPTS); do bash -n $$script || exit 1; done
	$(call optional,shellcheck,$(SCRIPTS))
	$(if $(PAGES),$(call optional,mandoc -T lint -W warning,$(PAGES)))
	$(if $(wildcard completions/_p2p),$(call optional,zsh -n,completions/_p2p))
	$(if $(wildcard completions/p2p.fish),$(call optional,fish -n,completions/p2p.fish))

optional = @if command -v $(firstword $(1)) >/dev/null; then echo '$(1) $(2)'; $(1) $(2); \
    elif [ "$$CI" = true ]; then echo 'lint: $(firstword $(1)) is not installed' >&2; exit 1; \
    else echo 'skip: $(firstword $(1)): not installed'; fi

# All that is installed; install and uninstall give `put FILE TARGET`, `start COMMAND TARGET` and `link TO TARGET` each
# its meaning.
in = $(call q,$(DESTDIR)$(1))
EVERYTHING = for name in $(COMMANDS); do \
        put "dist/$$name.cjs" $(call in,$(LIBDIR))/"$$name.cjs"; \
        start "$$name" $(call in,$(BINDIR))/"$$name"; \
        [ ! -e completions/p2p.bash ] || [ $$name = p2p ] || link p2p $(call in,$(BASHCOMPDIR))/$$name; \
        [ ! -e completions/p2p.fish ] || [ $$name = p2p ] || link p2p.fish $(call in,$(FISHCOMPDIR))/$$name.fish; \
    done; \
    [ ! -e completions/p2p.bash ] || put completions/p2p.bash $(call in,$(BASHCOMPDIR))/p2p; \
    [ ! -e completions/_p2p ] || put completions/_p2p $(call in,$(ZSHCOMPDIR))/_p2p; \
    [ ! -e completions/p2p.fish ] || put completions/p2p.fish $(call in,$(FISHCOMPDIR))/p2p.fish; \
    for page in $(PAGES); do put $$page $(call in,$(MANDIR))/man$${page\#\#*.}/$${page\#\#*/}; done; \
    for schema in $(SCHEMAS); do put $$schema $(call in,$(DATADIR))/$${schema\#\#*/}; done; \
    for file in dist/code/*.cjs $(if $(ANYNODE),,dist/code/*.cache); do \
        [ ! -e "$$file" ] || put "$$file" $(call in,$(LIBDIR))/code/"$${file\#\#*/}"; \
    done; \
    for file in $(UDX)/*; do [ ! -e "$$file" ] || put "$$file" $(call in,$(LIBDIR))/node_modules/udx-native/"$${file\#\#*/}"; done; \
    for file in $(EXAMPLES); do put "$$file" $(call in,$(DOCDIR))/"$$file"; done; \
    put 'LICENSE dist/THIRD-PARTY' $(call in,$(DOCDIR))/copyright; \
    put UNIT $(call in,$(UNITDIR))/p2p-listen.service

# For every user's systemd: systemctl --user enable --now p2p-listen. As p2p-id setup systemd prints it for one home.
define UNIT
[Unit]
Description=p2p: be reachable for messages
Documentation=man:p2p-listen(1) man:p2p(7)

[Service]
ExecStart="$(subst %,%%,$(subst ",\",$(subst \,\\,$(BINDIR))))/p2p-listen" -q
ExecReload=/bin/kill -HUP $$MAINPID
Restart=on-failure
RestartSec=10
# Wrong usage, not permitted, bad configuration: trying again would change nothing.
RestartPreventExitStatus=64 77 78

UMask=0077
LimitCORE=0
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=default.target
endef

# A bundle gets the absolute path of node, since cron has another PATH, and a link in BINDIR, relative inside PREFIX, so
# that PREFIX can be moved. Where a #! line does not do (blanks; more than some 120 bytes; a package, which cannot know
# where node is) three lines of shell in BINDIR start it.
PLAIN_NODE := $(shell printf %s $(call q,$(NODE)) | LC_ALL=C grep -Ex '[^[:space:]]{1,120}')
HEAD = $(if $(ANYNODE),,$(PLAIN_NODE))
TO_LIB = $(if $(subst $(PREFIX)/bin:$(PREFIX)/lib/p2p:,,$(BINDIR):$(LIBDIR):),$(LIBDIR),../lib/p2p)
TRIED = $(if $(ANYNODE),/usr/local/bin/node /usr/bin/node "$$(command -v node)",$(call q,$(NODE)))

install uninstall: export UNIT := $(UNIT)
install: all $(if $(ANYNODE),,cache)
	@set -e; umask 022; \
	new() { \
	    echo "  $$2"; \
	    install -d "$${2%/*}"; \
	    cat >"$$2.new"; \
	    chmod "$$1" "$$2.new"; \
	    mv -f "$$2.new" "$$2"; \
	}; \
	put() { \
	    case $$1 in \
	        UNIT) printf '%s\n' "$$UNIT" | new 644 "$$2" ;; \
	        dist/code/*) new 644 "$$2" <"$$1" ;; \
	        examples/*) new 755 "$$2" <"$$1" ;; \
	        *.cjs) { $(if $(HEAD),printf '#!%s\n' $(call q,$(HEAD)); )sed 1d "$$1"; } | new $(if $(HEAD),755,644) "$$2" ;; \
	        *) cat $$1 | new 644 "$$2" ;; \
	    esac; \
	}; \
	link() { \
	    echo "  $$2"; \
	    install -d "$${2%/*}"; \
	    ln -sfn "$$1" "$$2"; \
	}; \
	start() { \
	    $(if $(HEAD),link $(call q,$(TO_LIB))"/$$1.cjs" "$$2",{ \
	        printf '#!/bin/sh\nfor node in %s; do\n' $(call q,$(TRIED)); \
	        printf '  [ ! -x "$$node" ] || exec "$$node" %s "$$@"\ndone\n' $(call q,$(call q,$(LIBDIR)))"/$$1.cjs"; \
	        printf 'echo "%s: no node: it needs Node.js 20.19 or newer" >&2\nexit 78\n' "$$1"; \
	    } | new 755 "$$2"); \
	}; \
	$(EVERYTHING)

uninstall:
	@put() { rm -f "$$2"; }; \
	start() { rm -f "$$2"; }; \
	link() { rm -f "$$2"; }; \
	$(EVERYTHING); \
	rm -rf $(call in,$(LIBDIR))/code $(call in,$(LIBDIR))/node_modules/udx-native; \
	rmdir $(call in,$(LIBDIR))/node_modules $(call in,$(LIBDIR)) $(call in,$(DATADIR)) $(call in,$(DOCDIR)/examples) $(call in,$(DOCDIR)) 2>/dev/null; \
	[ -z "$$SUDO_USER" ] || HOME=$$(getent passwd "$$SUDO_USER" | cut -d: -f6); \
	left() { \
	    what=$$1; shift; \
	    for path; do if [ -e "$$path" ] || [ -h "$$path" ]; then echo "left in place: $$path ($$what)"; fi; done; \
	}; \
	left 'identity, contacts, messages' "$${P2P_HOME:-$${XDG_DATA_HOME:-$$HOME/.local/share}/p2p}"; \
	units=$${XDG_CONFIG_HOME:-$$HOME/.config}/systemd/user; \
	left unit "$$units"/p2p*.service "$$units"/p2p*.timer "$$units"/*.wants/p2p* "$$HOME"/Library/LaunchAgents/*p2p*; \
	if crontab -l 2>/dev/null | grep -q '^[^#]*p2p-'; then echo 'left in place: lines of crontab -l that call p2p'; fi

# A package for dpkg of what install puts in place: the same bytes from the same commit, whoever builds it. It only
# recommends nodejs: where Debian's is too old, node comes from elsewhere, and dpkg would not know of it.
DEB = dist/p2p-messenger_$(VERSION)_all.deb
MAINTAINER = the p2p authors <nobody@p2p.invalid>
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y package.json)
define CONTROL
Package: p2p-messenger
Version: $(VERSION)
Section: net
Priority: optional
Architecture: all
Maintainer: $(MAINTAINER)
Recommends: nodejs (>= 20.19)
Description: messages from machine to machine, with nobody in between
 Text and files piped into p2p-send travel encrypted over one connection and
 land in a Maildir on the other side. While the other side is away they wait
 in the own queue, on disk. No server, no relay, no account.
 .
 The commands need Node.js 20.19 or newer as node in /usr/local/bin, /usr/bin
 or $$PATH.
endef

deb: export CONTROL := $(CONTROL)
deb: all
	@set -e; umask 022; root=dist/deb; doc=$$root/usr/share/doc/p2p-messenger; \
	rm -rf "$$root"; \
	$(MAKE) --no-print-directory install ANYNODE=yes DESTDIR="$$PWD/$$root" PREFIX=/usr UNITDIR=/usr/lib/systemd/user \
	    ZSHCOMPDIR=/usr/share/zsh/vendor-completions >/dev/null; \
	install -m 644 CHANGELOG.md README.md SECURITY.md "$$doc"; \
	printf 'p2p-messenger ($(VERSION)) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' \
	    $(call q,$(MAINTAINER)) "$$(LC_ALL=C date -u -R -d "@$$SOURCE_DATE_EPOCH")" >"$$doc/changelog"; \
	gzip -9n "$$root"/usr/share/man/man*/* "$$doc/changelog" "$$doc/CHANGELOG.md"; \
	mkdir "$$root/DEBIAN"; \
	(cd "$$root" && find usr -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums); \
	size=$$(find "$$root/usr" -printf '%y %s\n' | awk '{ k += $$1 == "f" ? int(($$2 + 1023) / 1024) : 1 } END { print k }'); \
	printf '%s\nInstalled-Size: %s\n' "$$CONTROL" "$$size" >"$$root/DEBIAN/control"; \
	dpkg-deb --root-owner-group -Zxz --build "$$root" $(call q,$(DEB)); \
	rm -rf "$$root"

# The newer lines of node beside the one in $PATH, as npm has them: the last that was given long term support, and the
# newest. Each runs the demo and all tests; NODES_TESTS='suite noise exchange' only those.
NODES = 24.22.3 26.12.1
NODES_TESTS =
NODES_KEPT = node_modules/.cache/node
nodes: all
	@set -e; kept="$$PWD/$(NODES_KEPT)"; mkdir -p "$$kept"; \
	case $$(uname -m) in (x86_64) machine=x64 ;; (aarch64) machine=arm64 ;; (*) machine=$$(uname -m) ;; esac; \
	for version in $(NODES); do \
	    if [ ! -x "$$kept/$$version/bin/node" ]; then \
	        archive=$$(cd "$$kept" && npm pack --silent "node-linux-$$machine@$$version"); \
	        mkdir -p "$$kept/$$version.new"; \
	        tar -xzf "$$kept/$$archive" -C "$$kept/$$version.new" --strip-components=1 package/bin package/LICENSE; \
	        mv "$$kept/$$version.new" "$$kept/$$version"; \
	        rm "$$kept/$$archive"; \
	    fi; \
	    echo "node $$version"; \
	    $(MAKE) --no-print-directory demo NODE="$$kept/$$version/bin/node" >/dev/null; \
	    $(MAKE) --no-print-directory test NODE="$$kept/$$version/bin/node" T='$(NODES_TESTS)'; \
	done

clean:
	rm -rf dist

.PHONY: all node cache completions screens test bench bench-quick silence packets flood fuzz natmatrix model crash soak resume demo lint install uninstall deb nodes clean
.DELETE_ON_ERROR:
