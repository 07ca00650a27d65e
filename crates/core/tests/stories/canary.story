# One node goes first, the others when it is verified. A generation that fails there halts, until the operator resumes or the cause is gone.
cert example.com canary=1
nodes a b c
start all
run 1m
expect verified all
target all fails
renew example.com
run 5m
expect generation 2
expect serves a 1
expect serves b 1
expect serves c 1
rollout resume example.com
target all works
run 11m
expect verified all
