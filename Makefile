.DEFAULT_GOAL := help
.PHONY: help check fuzz bench bench-check

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

check: ## format, vet, lint, tests under the race detector; a minute or two
	@bash .ci/run format vet lint race

fuzz: ## each fuzz target for some seconds
	@bash .ci/run fuzz

bench: ## the benchmarks, six times, to compare with benchstat
	@mkdir -p .ci/cache
	go test -run '^$$' -bench . -benchmem -count 6 ./... | tee .ci/cache/bench.txt
	go tool -modfile=tools/go.mod benchstat .ci/cache/bench.txt

bench-check: ## bsrpc beside two echoes: what is worse than in bench/recorded.json; two minutes
	cd bench && go run . -check recorded.json $(BENCHFLAGS)
