#pragma once

#include <memory>
#include <type_traits>

#include <c10/util/intrusive_ptr.h>

namespace mien::network {

/// A node of autograd's graph, in the kind of pointer that this libtorch's graph holds: a shared one, and in later
/// versions (2.14 is one) an intrusive one. Who calls it includes <torch/csrc/autograd/function.h>.
template <class OwnNode>
auto make_node() {
  if constexpr (std::is_base_of_v<c10::intrusive_ptr_target, OwnNode>) {
    return c10::make_intrusive<OwnNode>();
  } else {
    // deleteNode is found by its argument: later versions have none
    return std::shared_ptr<OwnNode>(new OwnNode, [](OwnNode* node) { deleteNode(node); });
  }
}

}  // namespace mien::network
