package main

import (
	"context"
	"fmt"
	"iter"
	"log"
	"sync/atomic"

	"github.com/bsrpc/bsrpc"
)

// Jobs is the contract shared by client and server.
type Jobs struct {
	// Submit starts a job. The stream is its progress, and ends with it. A client that
	// leaves the stream, or cancels ctx, cancels the job. ctx limits the whole job, and
	// ClientOptions.DefaultCallTimeout only the time until Submit returns.
	//
	// The server calls confirm before it begins a job that takes long. A nil confirm
	// agrees to every job.
	Submit func(ctx context.Context, job Job, confirm Confirm) (id int64, progress iter.Seq2[Progress, error], err error)
}

// A Confirm decides on a job. It runs at the client, while Submit runs at the server.
type Confirm func(ctx context.Context, question string) (bool, error)

// long is the least Job.Below to confirm.
const long = 100_000_000

// A Job is a count of primes.
type Job struct {
	Below int // count the primes below this number
	Every int // report each time after so many numbers
}

// A Progress is the state of a job.
type Progress struct {
	Below  int // the numbers below have been searched
	Primes int // found so far
}

// service implements the contract.
type service struct {
	log  *log.Logger
	last atomic.Int64 // id
}

// Submit refuses a job, or returns the iterator that does the work.
func (s *service) Submit(ctx context.Context, job Job, confirm Confirm) (int64, iter.Seq2[Progress, error], error) {
	if job.Below < 2 || job.Every < 1 {
		return 0, nil, &bsrpc.Error{Code: bsrpc.CodeInvalidArgument, Message: "want Below of 2 or more and Every of 1 or more"}
	}
	if job.Below >= long && confirm != nil {
		ok, err := confirm(ctx, fmt.Sprintf("search %d numbers?", job.Below))
		if err != nil {
			return 0, nil, err
		}
		if !ok {
			return 0, nil, &bsrpc.Error{Code: bsrpc.CodeAborted, Message: "not confirmed"}
		}
	}
	id := s.last.Add(1)
	return id, func(yield func(Progress, error) bool) {
		if p, ok := count(ctx, job, yield); ok {
			s.log.Printf("server: job %d: done, %d primes", id, p.Primes)
		} else {
			s.log.Printf("server: job %d: stopped, %v", id, ctx.Err())
		}
	}, nil
}

// count does the work of a job. It reports false if the job has been canceled.
func count(ctx context.Context, job Job, yield func(Progress, error) bool) (p Progress, ok bool) {
	for p.Below < job.Below {
		if p.Below%1000 == 0 && ctx.Err() != nil {
			return p, false // between two reports
		}
		if isPrime(p.Below) {
			p.Primes++
		}
		p.Below++
		if p.Below%job.Every != 0 && p.Below < job.Below {
			continue
		}
		if !yield(p, nil) {
			return p, false // the client has left
		}
	}
	return p, true
}

func isPrime(n int) bool {
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}
