// Package errtree guards the library against the methods of users' errors. They panic, as those of a
// nil pointer do, or Unwrap leads back to where it began: then errors.Is and errors.As never return.
package errtree

import (
	"errors"
	"fmt"
	"io"
)

// Most is the most errors that a tree has, counted as errors.Is walks it. A cycle has more.
const Most = 10_000

// Bounded returns err, or in its place an error with its text if its tree has more than Most
// errors. An error of user code passes through it before errors.Is and errors.As. It calls
// Unwrap as they do; if that panics, err is returned, for those that recover.
func Bounded(err error) error {
	if err == nil {
		return nil
	}
	return bounded(err)
}

func bounded(err error) (in error) {
	defer func() {
		if recover() != nil {
			in = err
		}
	}()
	if count(err, Most) <= Most {
		return err
	}
	return fmt.Errorf("%s (%T unwraps to itself, or to more than %d errors; of this error only the text counts)", err.Error(), err, Most)
}

// count returns the number of errors in the tree of err, or any one above most.
func count(err error, most int) (n int) {
	for err != nil && n <= most {
		n++
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				if n > most {
					break
				}
				n += count(err, most-n)
			}
			return n
		default:
			return n
		}
	}
	return n
}

// Sound is Bounded for callers that do not recover: it also replaces an error whose methods panic.
func Sound(err error) (sound error) {
	defer func() {
		if p := recover(); p != nil {
			sound = fmt.Errorf("an error of type %T, whose methods panic: %v", err, p)
		}
	}()
	if sound = Bounded(err); sound != nil {
		_ = sound.Error()
		errors.Is(sound, io.EOF)
	}
	return sound
}
