package main

import "math/rand/v2"

// A sensor is a simulated device. Its value moves at random around a mean.
type sensor struct {
	name             string
	mean, noise      float64
	limit, clearance float64 // an alarm begins above limit, and ends below clearance
	value            float64
	alarm            *Alarm // nil if there is none
}

func newSensors() []*sensor {
	return []*sensor{
		{name: "boiler", mean: 80, noise: 4, limit: 90, clearance: 85},
		{name: "compressor", mean: 6, noise: 0.6, limit: 7, clearance: 6.5},
	}
}

// step moves the value. It returns the alarm that began or ended with it, nil for none.
func (s *sensor) step(rng *rand.Rand, nextID func() int64) (changed *Alarm, begins bool) {
	if s.value == 0 {
		s.value = s.mean
	}
	s.value += (s.mean-s.value)/8 + s.noise*rng.NormFloat64()
	switch {
	case s.alarm == nil && s.value > s.limit:
		s.alarm = &Alarm{ID: nextID(), Sensor: s.name, Value: s.value, Limit: s.limit}
		return s.alarm, true
	case s.alarm != nil && s.value < s.clearance:
		changed, s.alarm = s.alarm, nil
		return changed, false
	}
	return nil, false
}
