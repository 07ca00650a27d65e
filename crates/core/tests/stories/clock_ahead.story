# The first-ranked node's clock is 60 days ahead: it renews nothing before its time, and leaves issuing to the others.
cert example.com
nodes a b c
clock b +60d
start all
run 1m
expect generation 1
run 50d
expect issued 1
run 11d
expect issued 2
expect verified all
clock b +0s
run 61d
expect issued 3
