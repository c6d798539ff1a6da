#include "mien/runtime/memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "mien/network/network.h"
#include "mien/training/loss.h"
#include "mien/training/optimizer.h"

namespace mien::runtime {
namespace {

long page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

TEST(KeptMemory, SparesATrainingStepMostOfItsPageFaults) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer has a malloc of its own";
#endif
  network::Network network(network::load_graph("leaky4"), 0);
  for (at::Tensor parameter : network.trainable()) parameter.requires_grad_(true);
  training::Optimizer optimizer({}, network.trainable(), network.trainable_names());
  const at::Tensor images = at::zeros({128, 1, 48, 48}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor targets = at::full({128, 7}, 1.0 / 7);
  const auto faults_of_three_steps = [&] {
    const long before = page_faults();
    for (int i = 0; i < 3; ++i) {
      training::cross_entropy(network.forward(images, network::Mode::training), targets).backward();
      optimizer.step(1e-3);
      optimizer.zero_grad();
    }
    return page_faults() - before;
  };
  faults_of_three_steps();
  const long without = faults_of_three_steps();
  keep_freed_memory();
  for (int i = 0; i < 3; ++i) faults_of_three_steps();
  EXPECT_LT(faults_of_three_steps(), without / 3) << "without: " << without;
}

}  // namespace
}  // namespace mien::runtime
