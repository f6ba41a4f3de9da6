package main

import "errors"

func plotFile(file, dir string) error { return errors.New("not yet") }
