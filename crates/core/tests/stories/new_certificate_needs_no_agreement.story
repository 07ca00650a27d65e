# A certificate that only one node knows yet is ordered at once.
cert example.com
nodes a b c
start all
run 1m
config a cert new.example.com
run 1m
expect generation 1 of new.example.com
expect issued 2
expect verified all of new.example.com
