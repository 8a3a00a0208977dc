// Every flag of `outboxfs mount` that no other test names, by an effect that can be seen.
#include <gtest/gtest.h>
