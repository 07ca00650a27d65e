# During a halt a node that is no canary is restarted: it does not take the bad generation for want of anything better.
cert example.com canary=1
nodes a b c
start all
run 1m
target all fails
renew example.com
run 2m
crash all
run 10s
start all
run 5m
expect serves a 1
expect serves b 1
expect serves c 1
