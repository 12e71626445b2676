# Weir's build. `make help` prints the targets.
# On a fresh Debian 12 with Python 3.11, every target first installs what it needs.
#
#   WEIR_DATA_DIR   directory for all data of a stack (default .weir)
#   WEIR_*_PORT     ports; a second stack needs its own directory and ports
#   PYTHON          the Python 3.11 for the environments (default: the first usable one)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
# One target after the other, except where `setup` and `test` let some run side by side.
SIDE_BY_SIDE :=
ifeq ($(SIDE_BY_SIDE),)
.NOTPARALLEL:
endif

# One stamp for each part; the part is built again if one of its sources is newer than the stamp.
UV := .tools/bin/uv
ENGINE_SOURCES := $(shell find native -name '*.rs' 2>/dev/null) native/Cargo.toml native/Cargo.lock \
	native/pyproject.toml native/weir_engine.pyi
ENGINE := .cache/native/wheels/.made
SERVICES_PACKAGES := .venv/.packages
STREAMS_PACKAGES := .venv-streams/.packages
# With our own two packages: this checkout, and the feature engine.
VENV := .venv/.made
STREAMS_VENV := .venv-streams/.made
AIRFLOW_VENV := .venv-airflow/.made
KAFKA := .cache/kafka/.made
FLINK_LIB := .cache/flink-lib/.made
GLUE_SOURCES := $(shell find streams/jvm -name '*.java' 2>/dev/null)
GLUE := $(if $(GLUE_SOURCES),.cache/flink-lib/weir-kafka-glue.jar)
CLASSES := .cache/classes/.made
comma := ,
RIVALS := bytewax faust quix
RIVALS_VENVS := $(RIVALS:%=.venv-bench-%/.made)
FLINK_HOME := .venv-streams/lib/python3.11/site-packages/pyflink

BIN := .venv/bin
# Each line of a suite that runs beside another one begins with its name.
NAMED = $(if $(SIDE_BY_SIDE),> >(sed --unbuffered 's/^/$@: /'))
# Without MAKEFLAGS in `RUST` and `PYTEST`: cargo, or a test that runs make, would wait for our jobs.
# The first cargo that is recent enough goes first in PATH; nothing is built within the sources.
RUST = MAKEFLAGS= PATH="$$(dirname "$$(infra/local/setup/find-cargo.sh)"):$$PATH" \
	CARGO_TARGET_DIR="$(CURDIR)/.cache/native" PYO3_PYTHON="$(CURDIR)/.tools/bin/python"
CARGO_OPTIONS := --quiet --locked --manifest-path native/Cargo.toml
# Keeps the bytecode of tests even if the environment forbids it: compiling is half of a short run.
PYTEST := MAKEFLAGS= PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$(CURDIR)/.cache/bytecode" $(BIN)/python -m pytest
# Imports only modules that have examples; those of the second list import pandas, which is slow.
EXAMPLES = $(shell grep -rl --include='*.py' '>>> ' clients features infra schemas scoring streams tests/oracle)
SLOW_EXAMPLES = $(shell grep -rl --include='*.py' '>>> ' examples models operations training)
# Compiles once, because on some machines Python may not write bytecode at run time.
UV_SYNC := $(UV) pip sync --quiet --require-hashes --compile-bytecode
UV_COMPILE := UV_CUSTOM_COMPILE_COMMAND='make requirements' $(UV) pip compile --quiet \
	--python-version 3.11 --generate-hashes --no-emit-index-url

# No "Entering directory" lines from the sub-makes of `test`.
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## print this list
	@echo 'make TARGET    [WEIR_DATA_DIR=.weir] [WEIR_KAFKA_PORT=9092 ...] [PYTHON=python3.11]'
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)$$/\1\t\2/p' $(MAKEFILE_LIST) \
		| while IFS=$$'\t' read -r target text; do printf '  %-24s %s\n' "$$target" "$$text"; done

## ---- running ----

.PHONY: demo
demo: setup ## score live traffic and watch it; Ctrl-C ends it. DURATION=60: run 60 s, print one JSON line
	@$(BIN)/weir demo $(if $(DURATION),--duration $(DURATION))

.PHONY: up
up: setup $(if $(findstring postgres,$(WITH)),postgres) ## start the stack: Kafka, Redis, MLflow, Flink, Weir's own processes; WITH=postgres,batch: these, too
	@$(BIN)/weir up $(if $(WITH),$(addprefix --with ,$(subst $(comma), ,$(WITH))))

.PHONY: down
down: ## stop the stack and keep its data
	@[ ! -x $(BIN)/weir ] || $(BIN)/weir down

.PHONY: status
status: $(VENV) ## list the programs with their state, ports and logs
	@$(BIN)/weir status

.PHONY: logs
logs: $(VENV) ## show the logs; PROGRAM=kafka shows one program's
	@$(BIN)/weir logs $(PROGRAM)

.PHONY: doctor
doctor: $(VENV) ## check what is installed, running and reachable, and say how to fix the rest
	@$(BIN)/weir doctor

## ---- checking ----

.PHONY: rooms
rooms: $(VENV) ## draw the rooms of the code: layers, folders, and the imports between them
	@$(BIN)/python -m infra.rooms

# One suite works while the other one waits.
TWO_AT_A_TIME := SIDE_BY_SIDE=yes --jobs=2

.PHONY: test
test: setup postgres ## everything CI runs: lint, house, unit, component, dags, integration, e2e and chaos
	@$(MAKE) $(TWO_AT_A_TIME) --output-sync=target lint house unit dags
	@$(MAKE) component
	@$(MAKE) $(TWO_AT_A_TIME) integration end-to-end

.PHONY: lint
lint: $(VENV) ## check format, lint rules, types and import directions, of Python and Rust (CI)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@infra/local/setup/system-packages.sh lint
	$(RUST) cargo fmt --check --manifest-path native/Cargo.toml
	$(RUST) cargo clippy $(CARGO_OPTIONS) --all-targets -- -D warnings

.PHONY: format
format: $(VENV) ## format the sources and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	@infra/local/setup/system-packages.sh lint
	$(RUST) cargo fmt --manifest-path native/Cargo.toml

# One process: a second one would spend the time that it saves on imports and collection.
.PHONY: unit
unit: $(VENV) ## run the tests that need no service, and the examples in docstrings; takes seconds (CI)
	$(RUST) cargo test $(CARGO_OPTIONS) --no-default-features
	$(PYTEST) --doctest-modules tests/unit $(EXAMPLES)

.PHONY: component
component: $(VENV) ## run the tests with real libraries and tables, and the random tests with more examples (CI)
	$(PYTEST) --numprocesses auto --doctest-modules tests/component $(SLOW_EXAMPLES)
	$(PYTEST) --numprocesses auto --hypothesis-profile thorough -m hypothesis tests/unit tests/component/features

# Not with several processes: one session counts its requests.
.PHONY: fuzz
fuzz: $(VENV) ## send at least 5,000 made-up requests to the API, all that its OpenAPI document allows
	$(PYTEST) --hypothesis-profile fuzz -s tests/component/scoring/http/test_fuzz.py

.PHONY: house
house: $(VENV) ## check the rules for the source, and the documents against the code (CI)
	$(PYTEST) tests/house

# Without conftest and configuration, because none of our packages are in Airflow's environment.
.PHONY: dags
dags: $(AIRFLOW_VENV) ## parse the schedules for Airflow with Airflow (CI)
	@mkdir -p .cache/airflow
	AIRFLOW_HOME="$(CURDIR)/.cache/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False \
		AIRFLOW__CORE__DAGS_FOLDER="$(CURDIR)/infra/airflow" \
		.venv-airflow/bin/python -m pytest --noconftest -c /dev/null --rootdir . tests/airflow

.PHONY: integration
integration: setup postgres ## test each adapter against its real service, and fakes with the same tests (CI)
	$(PYTEST) --numprocesses 2 --dist loadfile tests/integration tests/contract $(NAMED)

.PHONY: e2e
e2e: setup ## test the whole system with the real broker, Flink, Redis and MLflow
	$(PYTEST) tests/e2e tests/replay

.PHONY: chaos
chaos: setup ## kill -9 under load: nothing is lost, repeats are identical
	$(PYTEST) tests/chaos

# One session for all, so that the stack is started once. The replay of a month comes last: parity
# and its gate, which others run, read the whole log.
.PHONY: end-to-end
end-to-end: setup ## run e2e, chaos and the replay of a month on one stack (CI)
	$(PYTEST) tests/e2e tests/chaos tests/replay $(NAMED)

## ---- examples ----

.PHONY: example-churn
example-churn: $(VENV) ## score churn by a second model on a running stack, in bulk and online; SHOPPERS=2000 DAYS=150
	@$(BIN)/python -m examples.churn $(if $(SHOPPERS),--shoppers $(SHOPPERS)) $(if $(DAYS),--days $(DAYS))

.PHONY: example-recommendation
example-recommendation: $(VENV) ## recommend products on a running stack, from a seeded world to the recall; SHOPPERS=20000
	@$(BIN)/python -m examples.recommendation $(if $(SHOPPERS),--shoppers $(SHOPPERS)) \
		$(if $(PRODUCTS),--products $(PRODUCTS))

## ---- measuring ----

# SCENARIO, RATE, RUNS and others select what is measured; see docs/benchmarks/README.md.
.PHONY: bench
bench: setup $(if $(filter rivals,$(SCENARIO)),$(RIVALS_VENVS)) ## measure latency, rates and costs; SCENARIO=latency RATE=2000 RUNS=3
	@PYTHONPATH=. $(BIN)/python -m tests.bench $(SCENARIO) $(if $(RATE),--rate $(RATE)) \
		$(if $(RUNS),--runs $(RUNS)) $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH)) \
		$(if $(EVENTS),--events $(EVENTS)) $(if $(KEYS),--keys $(KEYS)) \
		$(if $(OUTAGE_S),--outage $(OUTAGE_S)) $(if $(ROLLOUTS),--rollouts $(ROLLOUTS)) \
		$(if $(ROWS),--rows $(ROWS)) $(if $(PRICE),--core-hour-price $(PRICE)) \
		$(if $(ONLY),--only $(ONLY))

## ---- setting up ----

# Side by side, because one part waits for its downloads while another one is compiled.
.PHONY: setup
setup: ## install everything that is not installed yet
	@$(MAKE) --silent $(if $(SIDE_BY_SIDE),,SIDE_BY_SIDE=yes --jobs=4) $(VENV) $(STREAMS_VENV) jars

.PHONY: jars
jars: $(KAFKA) $(FLINK_LIB) $(GLUE) $(CLASSES) ## download the jars of Kafka and Flink, and compile our own Java

.PHONY: postgres
postgres: ## install PostgreSQL, which `make up WITH=postgres` starts
	@infra/local/setup/system-packages.sh postgres

.PHONY: system-packages
system-packages:
	@infra/local/setup/system-packages.sh

$(UV): requirements/bootstrap.txt | system-packages
	@echo 'installing uv and maturin'
	@"$$(infra/local/setup/find-python.sh)" -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# One wheel for both environments: it uses only the stable part of Python's interface.
$(ENGINE): $(ENGINE_SOURCES) requirements/bootstrap.txt | $(UV)
	@echo 'building the feature engine: native'
	@rm -rf $(@D) && mkdir -p $(@D)
	@$(RUST) .tools/bin/maturin build --release $(CARGO_OPTIONS) --auditwheel skip \
		--interpreter .tools/bin/python --out $(@D) >.cache/native/build.log 2>&1 \
		|| { cat .cache/native/build.log; exit 1; }
	@touch $@

$(SERVICES_PACKAGES): requirements/services.txt pyproject.toml | $(UV)
	@echo 'making .venv: services and tools'
	@[ -x .venv/bin/python ] || $(UV) venv --quiet \
		--python "$$(infra/local/setup/find-python.sh)" .venv
	@$(UV_SYNC) --python .venv/bin/python $<
	@touch $@

$(STREAMS_PACKAGES): requirements/streams.txt pyproject.toml | $(UV)
	@echo 'making .venv-streams: PyFlink'
	@[ -x .venv-streams/bin/python ] || \
		$(UV) venv --quiet --python "$$(infra/local/setup/find-python.sh)" .venv-streams
	@$(UV_SYNC) --python .venv-streams/bin/python $<
	@touch $@

# After each sync of the packages, because it removes what is not pinned.
$(VENV) $(STREAMS_VENV): %/.made: %/.packages $(ENGINE)
	@$(call install_ourselves,$*)
	@touch $@

# One after the other: both build the same editable package.
$(STREAMS_VENV): | $(VENV)

$(AIRFLOW_VENV): requirements/airflow.txt | $(UV)
	@echo 'making .venv-airflow: Airflow, to test infra/airflow'
	@[ -x .venv-airflow/bin/python ] || \
		$(UV) venv --quiet --python "$$(infra/local/setup/find-python.sh)" .venv-airflow
	@$(UV) pip sync --quiet --require-hashes --python .venv-airflow/bin/python $<
	@touch $@

.venv-bench-%/.made: requirements/bench-%.txt | $(UV)
	@echo 'making .venv-bench-$*: to compare with'
	@[ -x $(@D)/bin/python ] || $(UV) venv --quiet \
		--python "$$(infra/local/setup/find-python.sh)" $(@D)
	@$(UV_SYNC) --python $(@D)/bin/python $<
	@touch $@

# Editable, without dependencies and without a build environment: it uses the pinned setuptools, so
# nothing unpinned is downloaded.
install_ourselves = $(UV) pip install --quiet --python $(1)/bin/python --no-deps --no-index \
	--no-build-isolation --config-settings editable_mode=compat --reinstall-package weir-engine \
	--editable . $(dir $(ENGINE))*.whl

$(KAFKA): infra/local/pom.xml | system-packages
	@echo 'fetching Kafka and the Flink connector'
	@rm -rf .cache/kafka/libs .cache/flink-lib
	@mvn --batch-mode --quiet --strict-checksums --file infra/local/pom.xml generate-resources
	@touch $@

$(FLINK_LIB): $(KAFKA) $(STREAMS_PACKAGES)
	@cp $(FLINK_HOME)/lib/*.jar $(FLINK_HOME)/opt/flink-python-*.jar .cache/flink-lib/
	@touch $@

.cache/flink-lib/weir-kafka-glue.jar: $(GLUE_SOURCES) $(FLINK_LIB)
	@echo 'compiling streams/jvm'
	@rm -rf .cache/glue-classes && mkdir -p .cache/glue-classes
	@$(if $(JAVA_HOME),$(JAVA_HOME)/bin/)javac -Xlint:all,-processing,-path,-classfile -Werror --release 17 \
		-cp '.cache/flink-lib/*' -d .cache/glue-classes $(GLUE_SOURCES)
	@$(if $(JAVA_HOME),$(JAVA_HOME)/bin/)jar --create --file $@ -C .cache/glue-classes .

$(CLASSES): $(KAFKA) $(FLINK_LIB) $(GLUE) | $(VENV)
	@echo 'archiving the classes of the JVMs, so that they start faster'
	@rm -rf .cache/classes && mkdir -p .cache/classes
	@$(BIN)/python -m infra.local.class_archives
	@touch $@

.PHONY: requirements
requirements: | $(UV) ## pin the dependencies of pyproject.toml again; UPGRADE=1 takes the newest versions
	$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --group pyproject.toml:bootstrap -o requirements/bootstrap.txt
	$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --group pyproject.toml:airflow -o requirements/airflow.txt
	$(UV_COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --extra services --extra dev --extra examples -o requirements/services.txt
	$(UV_COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --extra streams -o requirements/streams.txt
	$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --group pyproject.toml:embedded -o requirements/embedded.txt
	for rival in $(RIVALS); do $(UV_COMPILE) $(if $(UPGRADE),--upgrade) \
		--group pyproject.toml:bench-$$rival -o requirements/bench-$$rival.txt; done

# Only what scores a row: no service, no registry, no client library.
EMBEDDED_PARTS := schemas features models/*.py models/encoding \
	models/artifact/{__init__,aggregate,files,load_light,onnx_file,signature,walked_trees}.py \
	scoring/__init__.py scoring/core scoring/embedded

.PHONY: embedded
embedded: $(VENV) $(ENGINE) requirements/embedded.txt ## put what scores in your own process or in AWS Lambda into .cache/embedded
	@rm -rf .cache/embedded && mkdir -p .cache/embedded
	@$(UV) pip install --quiet --python .venv/bin/python --target .cache/embedded --no-deps \
		--require-hashes -r requirements/embedded.txt
	@$(UV) pip install --quiet --python .venv/bin/python --target .cache/embedded --no-deps \
		--no-index $(dir $(ENGINE))*.whl
	@cp --recursive --parents $(EMBEDDED_PARTS) .cache/embedded
	@rm -rf .cache/embedded/features/feast_repo .cache/embedded/schemas/json .cache/embedded/bin
	@find .cache/embedded -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "in .cache/embedded: $$(du -sm .cache/embedded | cut -f1) MB"

## ---- clearing up ----

.PHONY: clean
clean: ## stop the stack and delete its data, which is the only copy; asks first, or CONFIRM=yes
	@dir="$${WEIR_DATA_DIR:-.weir}"; \
	if [ ! -f "$$dir/run/supervisord.conf" ]; then echo "no stack in $$dir"; exit 0; fi; \
	echo "$$dir holds the only copy of the transactions, labels, decisions and models of its stack,"; \
	echo "and the archive unless WEIR_ARCHIVE_URL names another place. None can be computed again."; \
	answer="$(CONFIRM)"; \
	if [ -z "$$answer" ] && [ -t 0 ]; then printf 'Delete it? Type yes: '; read -r answer; fi; \
	if [ "$$answer" != yes ]; then echo "nothing was deleted; CONFIRM=yes deletes it" >&2; exit 1; fi; \
	$(MAKE) --no-print-directory down && rm -rf -- "$$dir" && echo "deleted $$dir"

.PHONY: distclean
distclean: clean ## delete the environments and downloads as well
	@rm -rf .venv .venv-streams .venv-airflow .venv-bench-* .tools .cache *.egg-info
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
