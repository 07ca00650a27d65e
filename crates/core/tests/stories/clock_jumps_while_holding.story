# The holder's clock is set 60 days ahead in the middle of an attempt: it lets go before it writes stamps.
cert example.com
nodes a b c
start all
ca fails
run 500ms
clock b +60d
run 10s
expect failures 1
ca works
run 5m
expect issued 1
expect verified all
