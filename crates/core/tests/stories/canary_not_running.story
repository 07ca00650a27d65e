# A canary whose server is not running has shown nothing: the others wait.
cert example.com canary=1
nodes a b c
start all
run 1m
target a not-running
target b not-running
target c not-running
renew example.com
run 3m
expect generation 2
target all works
run 3m
expect verified all
