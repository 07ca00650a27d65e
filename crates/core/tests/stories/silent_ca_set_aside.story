# The CA falls silent after finalize: the attempt is kept until expiry comes near, then set aside and still polled; the next one starts.
cert example.com
nodes a b c
start all
run 59d
ca silent
run 17d
expect generation 1
expect aside 1
ca works
run 1h
expect generation 3
expect aside 0
expect issued 3
expect verified all
