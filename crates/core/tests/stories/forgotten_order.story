# The CA answers 404 for an order: that ends nothing before a day has passed; then a new attempt is made.
cert example.com
nodes a b
start all
run 400ms
ca forgets
run 23h
expect failures 0
run 3h
expect failures 1
ca works
run 2h
expect issued 1
expect verified all
