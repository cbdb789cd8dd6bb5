PYTHON ?= python3
# Options of `make test`: --again leaves out what does not depend on the user.
TESTS ?=

# Where `make install` puts files: below DESTDIR (for packages), in PREFIX.
DESTDIR ?=
PREFIX ?= $(shell if [ "$$(id -u)" = 0 ]; then echo /usr/local; else echo "$$HOME/.local"; fi)
BIN = $(DESTDIR)$(PREFIX)/bin
SHARE = $(DESTDIR)$(PREFIX)/share
BASH_COMPLETIONS = $(SHARE)/bash-completion/completions
ZSH_COMPLETIONS = $(SHARE)/zsh/site-functions
FISH_COMPLETIONS = $(SHARE)/fish/vendor_completions.d
MAN = $(SHARE)/man/man1

.PHONY: help demo test crash soak fuzz lint bench pythons zipapp generated install uninstall clean

help:
	@echo 'make install    install lwt, its manual page and completions (PREFIX=$(PREFIX))'
	@echo 'make uninstall  remove what make install has installed'
	@echo 'make demo       run a sweep of tasks on this machine (no sshd needed)'
	@echo 'make test       run all tests; as root, install the packages that they need'
	@echo 'make crash      run the crash tests at every step (make test runs a sample)'
	@echo 'make soak       run 500 tasks on 30 lab hosts with faults for SECONDS (default 600; root)'
	@echo 'make fuzz       read 100,000 randomly damaged archives'
	@echo 'make lint       check the style of the code'
	@echo 'make bench      measure the speed of lwt and of the peers that are installed'
	@echo 'make pythons    run the demo and a task with every Python 3 that is found'
	@echo 'make zipapp     build lwt.pyz, one file that runs with any Python: python3 lwt.pyz …'
	@echo 'make generated  write the manual page and the completions from the tables of options'
	@echo 'make clean      remove built files'

demo:
	@$(PYTHON) -m lwt demo

test:
	@sh tests/requirements.sh
	@$(PYTHON) -m tests $(TESTS)

crash:
	@LWT_TEST_ALL_STEPS=1 $(PYTHON) -m tests test_crashes test_cut_connections ATalkThatIsKilled

soak:
	@$(PYTHON) -m tests.soak $(SECONDS)

fuzz:
	@LWT_TEST_MUTANTS=100000 $(PYTHON) -m tests test_tar_reader.Mutants

lint:
	@$(PYTHON) -m tests.lint

bench:
	@$(PYTHON) -m bench

pythons:
	@LWT_TEST_ALL_STEPS=1 $(PYTHON) -m tests test_pythons

zipapp:
	@$(PYTHON) -c "from lwt.commands import zipapp; open(zipapp.NAME, 'wb').write(zipapp.build())"
	@chmod 755 lwt.pyz
	@echo lwt.pyz

generated:
	@$(PYTHON) -m tests.generate

# The umask of the user must not make the files unreadable for others.
install:
	@umask 022 && mkdir -p "$(BIN)" "$(MAN)" "$(BASH_COMPLETIONS)" "$(ZSH_COMPLETIONS)" \
		"$(FISH_COMPLETIONS)"
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -c "import sys; from lwt.commands import zipapp; \
		open(sys.argv[1], 'wb').write(zipapp.build())" "$(BIN)/.lwt.new"
	@chmod 755 "$(BIN)/.lwt.new" && mv -f "$(BIN)/.lwt.new" "$(BIN)/lwt"
	@install -m 644 man/lwt.1 "$(MAN)/lwt.1"
	@install -m 644 completions/lwt.bash "$(BASH_COMPLETIONS)/lwt"
	@install -m 644 completions/_lwt "$(ZSH_COMPLETIONS)/_lwt"
	@install -m 644 completions/lwt.fish "$(FISH_COMPLETIONS)/lwt.fish"
	@echo "installed: $(BIN)/lwt"
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; *) echo "hint: add $(PREFIX)/bin to PATH" ;; esac

uninstall:
	@rm -f "$(BIN)/lwt" "$(MAN)/lwt.1" "$(BASH_COMPLETIONS)/lwt" "$(ZSH_COMPLETIONS)/_lwt" \
		"$(FISH_COMPLETIONS)/lwt.fish"
	@echo "removed: $(BIN)/lwt, its manual page and completions"

clean:
	rm -rf build dist *.egg-info lwt.pyz
	find . -name __pycache__ -prune -exec rm -rf {} +
