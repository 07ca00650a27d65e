# The CA takes no CSR for an order that is ready: looked at again a few times, as after another holder's call, then put off.
cert example.com
nodes a b c
ca refuses requests
start all
run 3m
expect issued 0
expect attempt finalizing
ca works
run 3m
expect issued 1
expect orders 1
expect verified all
