# medsynth: `make help` lists the commands. Everything installs into .venv, once.
# Where there is no make, .venv's python -m medsynth_lib does the same: see README.md.
PYTHON    ?= python3
PROFILE   ?= demo
DATA      ?= phantom
SEED      ?= 0
CORES     ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 1)
NOTEBOOKS ?= core
SEGMENTERS ?=
MINUTES   ?= 10
DEVICE    ?= auto
# e.g. TORCH_INDEX=https://download.pytorch.org/whl/cpu for the small CPU build of torch on Linux
TORCH_INDEX ?=

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help reproduce plan release doctor test bench gpu-check lab student strip clean known

# Relative paths only: the checkout may lie in a folder with spaces.
RUN := .venv/bin/python
# A dollar sign in a path is one, not the beginning of a variable of make's.
override PROFILE := $(value PROFILE)
override DATA := $(value DATA)
export PROFILE DATA NOTEBOOKS SEGMENTERS

# What each command takes; medsynth_lib describes every option: .venv/bin/python -m medsynth_lib reproduce --help
RUN_OF = --profile "$$PROFILE" --data "$$DATA" --seed $(SEED)
PART = --cores $(CORES) --notebooks "$$NOTEBOOKS" --segmenters "$$SEGMENTERS"

help:  ## show this text
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo "PROFILE=smoke|demo|reference|gpu|paper|family|FILE.toml  DATA=phantom|phantom-uniform|hippocampus|braintumour|brats:PATH|folder:PATH|classes:PATH|pneumoniamnist"
	@echo "SEED=0  CORES=$(CORES)  NOTEBOOKS=core|all|\"00 01 05\"  SEGMENTERS=\"unet dynunet swin\"  PYTHON=python3  TORCH_INDEX=URL"
	@echo "now: PROFILE=$$PROFILE DATA=$$DATA SEED=$(SEED) CORES=$(CORES) NOTEBOOKS=$(NOTEBOOKS)"

reproduce: known .venv/.stamp  ## run the notebooks, print the results table and the report's path
	@$(RUN) -m medsynth_lib reproduce $(RUN_OF) $(PART)

plan: known .venv/.stamp  ## what reproduce would run: jobs, hours by a measurement on this machine, disk
	@$(RUN) -m medsynth_lib plan $(RUN_OF) $(PART)

release: known .venv/.stamp  ## GENERATOR=edm of a finished run as a data set to share, with its card; refuses copies
	@test -n "$(GENERATOR)" || { echo "name a generator of a finished run: make release GENERATOR=edm"; exit 2; }
	@$(RUN) -m medsynth_lib release "$(GENERATOR)" $(RUN_OF) $(if $(FORCE),--force)

doctor: .venv/.stamp  ## what works on this machine, and what to do where it does not
	@$(RUN) -m medsynth_lib doctor

test: .venv/.stamp  ## run all tests: units, notebooks at smoke size, the whole way to a report
	@$(RUN) -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

bench: .venv/.stamp  ## speed of the training loop beside others; then time to quality (MINUTES=10 a training, 3 seeds)
	@$(RUN) benchmarks/training_loop.py
	@$(RUN) benchmarks/time_to_quality.py --minutes $(MINUTES)

gpu-check: .venv/.stamp  ## does medsynth work and pay on this GPU? 8 minutes; DEVICE=cpu: the same at smoke size
	@$(RUN) benchmarks/gpu_check.py --device $(DEVICE)

lab: .venv/.stamp  ## JupyterLab on the notebooks
	@$(RUN) -m jupyterlab notebooks

student: .venv/.stamp  ## write student copies without solutions to student/
	@$(RUN) -m medsynth_lib student student

strip: .venv/.stamp  ## remove outputs from the notebooks (cells tagged keep_output stay)
	@$(RUN) -m nbstripout --keep-id --keep-count --extra-keys "metadata.papermill cell.metadata.papermill" notebooks/*.ipynb

clean:  ## remove .venv and student copies (runs/ stays: delete it by hand)
	rm -rf .venv student

# Cheap checks before anything is installed; the library checks DATA and NOTEBOOKS again.
known:
	@case "$$PROFILE" in smoke|demo|reference|gpu|paper|family) ;; \
	  *.toml) test -f "$$PROFILE" || { echo "there is no file '$$PROFILE'; correct PROFILE"; exit 2; };; *) \
	  echo "unknown PROFILE '$$PROFILE'; known profiles: smoke, demo, reference, gpu, paper, family, or a .toml file"; exit 2;; esac
	@case "$$DATA" in phantom|phantom-uniform|hippocampus|braintumour|pneumoniamnist|brats:?*|folder:?*|classes:?*) ;; *) \
	  echo "unknown DATA '$$DATA'; known: phantom, phantom-uniform, hippocampus, braintumour, brats:PATH, folder:PATH, classes:PATH, pneumoniamnist"; exit 2;; esac
	@case "$(SEED)" in ''|*[!0-9]*) echo "SEED is '$(SEED)'; give a whole number from 0 on"; exit 2;; esac
	@case "$(CORES)" in ''|*[!0-9]*|0) echo "CORES is '$(CORES)'; give a whole number from 1 on"; exit 2;; esac
	@for n in $${NOTEBOOKS//,/ }; do case "$$n" in core|all) ;; *) ls notebooks/"$$n"[_.]*ipynb >/dev/null 2>&1 || { \
	  echo "unknown NOTEBOOKS '$$n'; known: core, all," $$(cd notebooks; ls [0-9]*.ipynb | cut -c1-2); exit 2; };; esac; done

.venv/.stamp: requirements.lock requirements-torch.txt pyproject.toml install.py
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) was not found; install Python 3.11 to 3.14, or set PYTHON=/path/to/python3.12"; exit 2; }
	@"$(PYTHON)" install.py $(if $(TORCH_INDEX),--torch-index "$(TORCH_INDEX)")
