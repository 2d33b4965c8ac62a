// What time it is. Waiting is the loop's business.
// All times are seconds in a double: microseconds survive until the year 2100.
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

double clock_wall(void); // since 1970-01-01 UTC; may jump
double clock_mono(void); // since some moment; never goes back
double clock_cpu(void);  // CPU seconds of this process

#endif
