#include <gtest/gtest.h>

#include "mien/network/library_check.h"

/// What libtorch gives is what Mien's results are compared with: where its oneDNN is wrong, it is switched off first.
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  mien::network::avoid_wrong_library_convolutions();
  return RUN_ALL_TESTS();
}
