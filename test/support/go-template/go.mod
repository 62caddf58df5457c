module outrigger/go-template

go 1.23
