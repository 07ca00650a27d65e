# The fleet's record is taken away, and a node is removed before anybody has put it back: the removal holds, though it was written as a first value.
cert example.com
nodes a b c
start all
run 1m
store delete fleet
remove c
run 1m
expect members a,b
expect verified a,b
expect safe yes
