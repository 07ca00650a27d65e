# A certificate that was retired is configured again.
cert example.com
nodes a b
start all
run 1m
config all drop example.com
run 1m
expect retired true
config all cert example.com
run 1m
expect retired false
expect issued 1
run 61d
expect generation 2
expect verified all
