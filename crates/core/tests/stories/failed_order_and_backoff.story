# The CA cannot validate: 1, 10, 100 minutes, then daily; when it can, the next attempt succeeds and the count is gone.
cert example.com
nodes a b c
start all
ca fails
run 4d
expect issued 0
expect failures 7
ca works
run 26h
expect issued 1
expect failures 0
expect verified all
