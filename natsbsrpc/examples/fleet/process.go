package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A process is a server in a process of its own: this program with the command server. It ends
// with its standard input, so also if this process is killed.
type process struct {
	name    string
	release int
	id      string // of its instance
	cmd     *exec.Cmd
	input   io.Closer
	output  *bufio.Scanner
}

// start starts a server, and returns when it serves.
func start(url, name string, release int, errors io.Writer) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, release: release}
	p.cmd = exec.Command(exe, "-nats", url, "-name", name, "-release", strconv.Itoa(release), "-stdin", "server")
	p.cmd.Stderr = errors
	input, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.input, p.output = input, bufio.NewScanner(output)
	if p.id, err = p.line("serving as "); err != nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		return nil, err
	}
	return p, nil
}

// line returns the rest of the next line of the process.
func (p *process) line(begin string) (string, error) {
	if !p.output.Scan() {
		return "", fmt.Errorf("%s has ended early", p.name)
	}
	rest, ok := strings.CutPrefix(p.output.Text(), begin)
	if !ok {
		return "", fmt.Errorf("%s: unexpected line %q", p.name, p.output.Text())
	}
	return rest, nil
}

// stop ends the server after its last call. It returns the number of its calls, and the time that
// the last ones have taken.
func (p *process) stop() (served int, took time.Duration, err error) {
	began := time.Now()
	p.input.Close()
	text, err := p.line("served ")
	if ended := p.cmd.Wait(); err == nil {
		err = ended
	}
	if err == nil {
		served, err = strconv.Atoi(text)
	}
	return served, time.Since(began), err
}
