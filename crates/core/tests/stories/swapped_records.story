# Two records change places: each counts only where it was written for.
cert example.com
cert example.net
nodes a b
start all
run 1m
swap certs/example.com certs/example.net
run 1m
swap nodes/a nodes/b
run 1m
swap accounts/ca accounts/@key
run 1m
swap versions/example.com/1 versions/example.net/1
crash a
start a
run 1m
expect generation 1
expect names example.com
expect names example.net of example.net
expect issued 2
expect safe yes
