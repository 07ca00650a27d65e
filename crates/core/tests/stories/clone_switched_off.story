# A copied machine is switched off again: the first one notices that the other is silent, and goes on by itself.
cert example.com
nodes b
start all
run 1m
clone b as b2
run 5m
crash b2
renew example.com
run 1m
expect generation 1        # it may still be there
run 1m
expect generation 2
clone b as b3
run 1m
stop b3                    # it says that it leaves
renew example.com
run 1m
expect generation 3
