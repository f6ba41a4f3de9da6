package main

import (
	"bufio"
	"context"
	"io"
	"log"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A desk implements Operator at a client.
type desk struct {
	name   string
	log    *log.Logger
	answer func(ctx context.Context, a Alarm) (note string, err error)
}

func (d *desk) Raise(a Alarm) error {
	d.log.Printf("%s: %v", d.name, a)
	return nil
}

func (d *desk) Clear(a Alarm) error {
	d.log.Printf("%s: alarm %d is over", d.name, a.ID)
	return nil
}

// Acknowledge waits for the person at the desk. The server withdraws the question by
// canceling its call.
func (d *desk) Acknowledge(ctx context.Context, a Alarm) (string, error) {
	note, err := d.answer(ctx, a)
	if ctx.Err() != nil {
		d.log.Printf("%s: alarm %d needs no answer any more", d.name, a.ID)
	}
	return note, err
}

// watch connects an operator to the server at addr, until ctx or the session ends. operator has
// the methods of Operator, and opts limit the server's calls of them.
func watch(ctx context.Context, out *log.Logger, addr, name string, operator any, opts *bsrpc.ServerOptions) error {
	handlers := bsrpc.NewServer(opts)
	if err := bsrpc.RegisterAs[Operator](handlers, "Operator", operator); err != nil {
		return err
	}
	client, err := bsrpc.Dial(ctx, "tcp", addr, &bsrpc.ClientOptions{Handlers: handlers})
	if err != nil {
		return err
	}
	defer client.Close()
	alarms, err := bsrpc.Bind[Alarms](ctx, client, "Alarms")
	if err != nil {
		return err
	}
	list, err := alarms.Subscribe(ctx, name)
	if err != nil {
		return err
	}
	for _, a := range list {
		out.Printf("%s: since before: %v", name, a)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-client.Done():
		return client.Err()
	}
}

// answerAfter answers each question after a time.
func answerAfter(d time.Duration, note string) func(context.Context, Alarm) (string, error) {
	return func(ctx context.Context, _ Alarm) (string, error) {
		select {
		case <-time.After(d):
			return note, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// answerLines answers each question with the next line of in.
func answerLines(in io.Reader, out *log.Logger) func(context.Context, Alarm) (string, error) {
	lines := make(chan string)
	go func() { // reading cannot be canceled, so it has a goroutine of its own
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return func(ctx context.Context, a Alarm) (string, error) {
		out.Printf("Who looks after %v? Type a note to acknowledge it.", a)
		select {
		case note := <-lines:
			return note, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}
