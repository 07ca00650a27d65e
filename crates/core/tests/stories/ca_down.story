# Nobody reaches the CA for two hours: attempts are rare, nothing is counted as refused, and all is well soon after.
cert example.com
nodes a b c
start all
run 300ms
ca down
run 2h
expect issued 0
expect failures 0
ca works
run 6m
expect issued 1
expect verified all
