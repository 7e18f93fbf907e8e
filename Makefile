# make all test bench lint demo install uninstall clean
#
#   make demo                        two identities in a temporary place exchange a message
#   make test T='token queue'        only the test files whose names contain these words
#   make bench T='ndjson flush'      only these figures; all of them take some minutes and 4 GiB in $TMPDIR
#   make install PREFIX=$HOME/.local

PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib/p2p
MANDIR = $(PREFIX)/share/man

NODE := $(shell command -v node)
VERSION := $(shell sed -n 's/^  "version": "\(.*\)",*/\1/p' package.json)
COMMANDS := $(patsubst bin/%.ts,%,$(wildcard bin/*.ts))
BUNDLES := $(COMMANDS:%=dist/%.cjs)
PAGES := $(wildcard man/*.[1-8])
SOURCES := $(wildcard lib/*/*.ts)
SCRIPTS := $(wildcard test/*.sh completions/*.bash) .ci/run
MODULES = node_modules/.package-lock.json

all: $(BUNDLES)

# Anything needs a new enough node; the check itself runs on the oldest.
node:
	@test -n '$(NODE)' || { echo 'p2p needs Node.js 20.19 or newer: no node in $$PATH' >&2; exit 1; }
	@'$(NODE)' -e 'var v = process.versions.node.split("."); if (v[0] < 20 || (v[0] == 20 && v[1] < 19)) { console.error("p2p needs Node.js 20.19 or newer: $(NODE) is " + process.version); process.exit(1) }'

$(MODULES): package-lock.json | node
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# One file a command, readable, without its packages: starting is then 100 ms faster than from the sources.
dist/%.cjs: bin/%.ts $(SOURCES) package.json $(MODULES) | node
	@node_modules/.bin/esbuild $< --bundle --platform=node --format=cjs --target=node20 --log-level=warning \
	    --define:VERSION='"$(VERSION)"' --banner:js='#!/usr/bin/env node' --outfile=$@
	@chmod 755 $@
	@echo '  $@'

test: all
	@'$(NODE)' --import tsx test/run.ts $(T)

# Speed is told, never asserted: it fails only if something could not be run.
bench: all
	@'$(NODE)' --import tsx test/bench/run.ts $(T)

demo: all
	@bash test/demo.sh

# Programs that are not on every machine are passed over with a line, except where CI=true.
lint: $(MODULES)
	node_modules/.bin/tsc --noEmit -p .
	node_modules/.bin/oxlint --type-aware --deny-warnings bin lib test
	for script in $(SCRIPTS); do bash -n $$script || exit 1; done
	$(call optional,shellcheck,$(SCRIPTS))
	$(if $(PAGES),$(call optional,mandoc -T lint -W warning,$(PAGES)))

optional = @if command -v $(firstword $(1)) >/dev/null; then echo '$(1) $(2)'; $(1) $(2); \
    elif [ "$$CI" = true ]; then echo 'lint: $(firstword $(1)) is not installed' >&2; exit 1; \
    else echo 'skip: $(firstword $(1)): not installed'; fi

# The bundles get the absolute path of node, since cron has another PATH, and links in BINDIR.
install: all
	@case '$(NODE)' in *' '*) echo 'install: the path of node has a blank: $(NODE)' >&2; exit 1 ;; esac
	install -d '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(BINDIR)'
	@set -e; for name in $(COMMANDS); do \
	    echo "  $(DESTDIR)$(BINDIR)/$$name"; \
	    sed '1s|.*|#!$(NODE)|' "dist/$$name.cjs" >'$(DESTDIR)$(LIBDIR)/'"$$name.cjs.new"; \
	    chmod 755 '$(DESTDIR)$(LIBDIR)/'"$$name.cjs.new"; \
	    mv -f '$(DESTDIR)$(LIBDIR)/'"$$name.cjs.new" '$(DESTDIR)$(LIBDIR)/'"$$name.cjs"; \
	    ln -sfn '$(LIBDIR)/'"$$name.cjs" '$(DESTDIR)$(BINDIR)/'"$$name"; \
	done
	@set -e; for page in $(PAGES); do \
	    section='$(DESTDIR)$(MANDIR)/man'"$${page##*.}"; \
	    echo "  $$section/$${page##*/}"; \
	    install -d "$$section"; \
	    install -m 644 "$$page" "$$section/"; \
	done

uninstall:
	@for name in $(COMMANDS); do \
	    rm -f '$(DESTDIR)$(LIBDIR)/'"$$name.cjs" '$(DESTDIR)$(BINDIR)/'"$$name"; \
	done
	@for page in $(PAGES); do rm -f '$(DESTDIR)$(MANDIR)/man'"$${page##*.}/$${page##*/}"; done
	@rmdir '$(DESTDIR)$(LIBDIR)' 2>/dev/null || true
	@home="$${P2P_HOME:-$${XDG_DATA_HOME:-$$HOME/.local/share}/p2p}"; \
	if [ -e "$$home" ]; then echo "left in place: $$home (identity, contacts, messages)"; \
	else echo 'no home was there to be left'; fi

clean:
	rm -rf dist

.PHONY: all node test bench demo lint install uninstall clean
.DELETE_ON_ERROR:
