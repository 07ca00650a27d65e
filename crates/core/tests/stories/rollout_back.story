# The operator goes back to the older generation: all install it, and it stays for a day.
cert example.com
nodes a b c
start all
run 1m
renew example.com
run 1m
expect generation 2
rollout back example.com to 1
run 1m
expect generation 1
expect verified all
run 23h
expect issued 2
run 62d
expect generation 3
expect verified all
