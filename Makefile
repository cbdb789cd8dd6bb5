PYTHON ?= python3

.PHONY: help demo test crash soak fuzz lint bench pythons zipapp generated install clean

help:
	@echo 'make demo      a real sweep of tasks on this machine, no sshd needed'
	@echo 'make test      all tests; installs what they need where it can (root), else names it'
	@echo 'make crash     lwt killed or refused at every step there is (make test takes samples)'
	@echo 'make soak      500 tasks over 30 lab hosts in bad weather, and the ledger; ten minutes, or SECONDS=120 (root)'
	@echo 'make fuzz      100,000 archives that were changed at random, as a hostile host might send them'
	@echo 'make lint      what a careful reader would complain of'
	@echo 'make bench     speed, side by side with the peers that are installed'
	@echo 'make pythons   the demo and a task on a lab host, under every Python 3 that is found'
	@echo 'make zipapp    lwt.pyz, one file that runs anywhere: python3 lwt.pyz …'
	@echo 'make generated the manual page and the completions, from the tables of commands and options'
	@echo 'make install   pip install .'
	@echo 'make clean     remove what was made'

demo:
	@$(PYTHON) -m lwt demo

test:
	@sh tests/requirements.sh
	@$(PYTHON) -m tests

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

install:
	$(PYTHON) -m pip install .

clean:
	rm -rf build dist *.egg-info lwt.pyz
	find . -name __pycache__ -prune -exec rm -rf {} +
